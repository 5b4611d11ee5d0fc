"""One record, one line of JSON.

    {"recv_ns":1723129447123456789,"feed":"sim/ALPHA_USDT","stream":"depth@100ms","kind":"data","session":1,
     "payload":{"e":"depthUpdate", ...}}

Rule: a payload is never re-encoded. Where it is valid JSON on one line it is embedded as it was received,
digit for digit, under `payload`; any other UTF-8 text is a string under `payload_text`, any other bytes are
under `payload_b64`. Exactly one of the three keys is there, last. `flags` (a list of names: binary, failed,
imported) is there only where the record has one. `kind` is the lower-case name of a model.Kind: outages and
notes are lines too.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mdtool.model import Flag, Kind

if TYPE_CHECKING:
    from mdtool.storage.reading.reader import Reader, Record

PAYLOAD = b',"payload":'

# Decoding to Raw walks the whole value without building it. It refuses what is not JSON (literals, numbers,
# escapes, control characters), but not bytes that are no UTF-8: those are checked apart.
_validate = msgspec.json.Decoder(msgspec.Raw).decode


def is_json_line(payload: bytes) -> bool:
    """Whether `payload` is one valid JSON value (RFC 8259, UTF-8) on one line. Escapes of half a surrogate
    pair, which many parsers refuse, count as invalid."""
    try:
        _validate(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return b"\n" not in payload and b"\r" not in payload


class Ndjson:
    """Encodes records as NDJSON. Keeps what is the same from line to line: one instance serves one replay."""

    def __init__(self) -> None:
        self._middles: dict[Reader, dict[int, bytes]] = {}  # by the record's tag

    def __call__(self, records: Sequence[tuple[Reader, Record]]) -> bytes:
        """The lines of `records`, in order, each with its newline."""
        try:
            lines = self._embedded(records)
        except (msgspec.MsgspecError, RecursionError):
            return b"".join([self._line(reader, record) for reader, record in records])
        if lines.isascii() and b"\r" not in lines and lines.count(b"\n") == len(records):
            return lines
        return b"".join([self._line(reader, record) for reader, record in records])

    def _embedded(self, records: Sequence[tuple[Reader, Record]]) -> bytes:
        """The lines as they are where every payload is a JSON line, which is nearly always. What can be asked of all
        lines at once (bytes beyond ASCII, line ends) is left to the caller."""
        validate = _validate
        parts: list[bytes] = []
        extend = parts.extend
        current: Reader | None = None
        middles: dict[int, bytes] = {}
        for reader, record in records:
            if reader is not current:
                current = reader
                middles = self._middles.setdefault(reader, {})
            try:
                middle = middles[record.tag]
            except KeyError:
                middle = middles[record.tag] = _middle(reader, record)
            payload = record.payload
            validate(payload)
            extend((b'{"recv_ns":%d' % record.recv_ns, middle, payload, b"}\n"))
        return b"".join(parts)

    def _line(self, reader: Reader, record: Record) -> bytes:
        payload = record.payload
        head = b'{"recv_ns":%d' % record.recv_ns + _middle(reader, record)
        if is_json_line(payload):
            return head + payload + b"}\n"
        head = head.removesuffix(PAYLOAD)
        try:
            return head + b',"payload_text":' + msgspec.json.encode(payload.decode()) + b"}\n"
        except UnicodeDecodeError:
            return head + b',"payload_b64":"' + b64encode(payload) + b'"}\n'


def _middle(reader: Reader, record: Record) -> bytes:
    """What stands between the receive time and a payload that is embedded."""
    text = b',"feed":%b,"stream":%b,"kind":"%b","session":%d' % (
        msgspec.json.encode(reader.feed.name),
        msgspec.json.encode(reader.stream_name(record.stream)),
        _kind_name(record.kind).encode(),
        record.session,
    )
    if record.flags:
        text += b',"flags":' + msgspec.json.encode([(f.name or "").lower() for f in Flag if f & record.flags])
    return text + PAYLOAD


def _kind_name(kind: int) -> str:
    try:
        return Kind(kind).name.lower()
    except ValueError:  # written by a newer version
        return f"kind{kind}"
