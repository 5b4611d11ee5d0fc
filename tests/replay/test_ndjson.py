"""NDJSON lines: documented keys, payloads embedded as received, every byte recoverable."""

from __future__ import annotations

import base64
import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.model import Flag, Kind
from mdtool.replay.sinks.ndjson import Ndjson, is_json_line
from mdtool.replay.sinks.raw import raw
from mdtool.storage.store import Store

EXACT = b'{"p":"0.10","n":1.10,"big":123456789012345678901234567890.00100,"e":1E5,"s":"\xc3\xa9\\u00e9"}'


class OnePayload:
    """A reader and a record at once, for properties that need no store."""

    recv_ns, stream, session, kind, flags = 7, 0, 1, Kind.DATA, 0
    tag = 1 << 32 | Kind.DATA << 16

    class feed:
        name = "sim/A_USDT"

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def stream_name(self, number: int) -> str:
        return "trade"


def line_of(payload: bytes) -> bytes:
    both: Any = OnePayload(payload)
    return Ndjson()([(both, both)])


def lines_of(store: Store, name: str) -> bytes:
    reader = store.reader(name)
    return Ndjson()([(reader, record) for record in reader.records()])


def test_a_line_is_exactly_this(fill: Any) -> None:
    store = fill("binance-usdm/ETH_USDT", [(1723129447123456789, EXACT)], stream="depth@0ms", session=3)
    assert lines_of(store, "binance-usdm/ETH_USDT") == (
        b'{"recv_ns":1723129447123456789,"feed":"binance-usdm/ETH_USDT","stream":"depth@0ms","kind":"data",'
        b'"session":3,"payload":' + EXACT + b"}\n"
    )


def test_what_is_no_json_line_is_text_or_base64() -> None:
    head = b'{"recv_ns":7,"feed":"sim/A_USDT","stream":"trade","kind":"data","session":1,'
    assert line_of(b"pong") == head + b'"payload_text":"pong"}\n'
    assert line_of(b"") == head + b'"payload_text":""}\n'
    assert line_of(b'{\n"a":1}') == head + b'"payload_text":"{\\n\\"a\\":1}"}\n'
    assert line_of(b"\xff\x00") == head + b'"payload_b64":"/wA="}\n'
    assert line_of(b'{"a":"\xff"}') == head + b'"payload_b64":"eyJhIjoi/yJ9"}\n'


def test_outages_and_flags_stay_visible(fill: Any) -> None:
    for number, kind in enumerate(Kind):
        fill("sim/_session", [(number, b"{}")], stream="session", kind=kind)
    fill("sim/_session", [(99, b"slow down")], stream="snapshot", kind=Kind.RESPONSE, flags=Flag.FAILED | Flag.IMPORTED)
    fill("sim/_session", [(100, b"1")], stream="session", kind=200)
    lines = [json.loads(line) for line in lines_of(fill("sim/_session", []), "sim/_session").splitlines()]
    kinds = ["data", "sent", "open", "close", "request", "response", "note", "end"]
    assert [line["kind"] for line in lines] == [*kinds, "response", "kind200"]
    assert lines[1] == {
        "recv_ns": 1,
        "feed": "sim/_session",
        "stream": "session",
        "kind": "sent",
        "session": 1,
        "payload": {},
    }
    assert lines[8] == {
        "recv_ns": 99,
        "feed": "sim/_session",
        "stream": "snapshot",
        "kind": "response",
        "session": 1,
        "flags": ["failed", "imported"],
        "payload_text": "slow down",
    }


# What a validator must refuse. The standard library's parser takes some of these (NaN), or raises by recursion.
@pytest.mark.parametrize(
    "payload",
    [
        b"", b" ", b"{", b"[1,]", b'{"a":1,}', b'{"a" 1}', b"{1:2}", b"01", b"1.", b".5", b"+1", b"-", b"1e", b"0x1",
        b"nul", b"NaN", b"Infinity", b'"a', b'"\\q"', b'"\\u12"', b'"\x01"', b'"\t"', b'"\xff"', b"\xef\xbb\xbf{}",
        b"{} x", b"{}{}", b"{}\x00", b"[" * 100_000, b"'a'", b"\xc3", b'"\xed\xa0\x80"', b"1\n", b"[1,\r2]",
    ],
)  # fmt: skip
def test_is_no_json_line(payload: bytes) -> None:
    assert not is_json_line(payload)


@pytest.mark.parametrize(
    "payload", [b"{}", b"[]", b" [ 1 , 2 ] ", b'"\\u00e9"', b"-0", b"1e400", b"null", b'"\x7f"', '"é€𝄞"'.encode()]
)
def test_is_a_json_line(payload: bytes) -> None:
    assert is_json_line(payload)


@given(st.binary() | st.text().map(str.encode))
def test_any_payload_is_one_valid_line_that_gives_it_back(payload: bytes) -> None:
    line = line_of(payload)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    value = json.loads(line)
    if "payload_text" in value:
        assert value["payload_text"].encode() == payload
    elif "payload_b64" in value:
        assert base64.b64decode(value["payload_b64"]) == payload
    else:
        assert line[line.index(b'"payload":') + 10 : -2] == payload


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_agrees_with_the_standard_library(value: Any, at: int, patch: bytes) -> None:
    good = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    damaged = good[:at] + patch + good[at + len(patch) :]
    for payload in (good, damaged):
        try:
            json.loads(payload.decode(), parse_constant=refuse)
            valid = b"\n" not in payload and b"\r" not in payload
        except (ValueError, RecursionError):
            valid = False
        if b"\\u" not in payload.lower():  # half a surrogate pair: refused here, taken there
            assert is_json_line(payload) == valid, payload


def refuse(name: str) -> None:
    raise ValueError(name)


def test_raw_is_payloads_and_newlines(fill: Any) -> None:
    reader = fill("sim/A_USDT", [(1, b'{"a":1}'), (2, b"\xff"), (3, b"")]).reader("sim/A_USDT")
    assert raw([(reader, record) for record in reader.records()]) == b'{"a":1}\n\xff\n\n'


@pytest.mark.realdata
def test_real_messages_come_out_as_they_went_in(realdata: Path, fill: Any) -> None:
    with gzip.open(realdata / "binance_usdm" / "ethusdt_20240808.hb.gz") as file:
        messages = [line.rstrip(b"\n").split(b" ", 1) for line in islice(file, 2000)]
    store = fill("binance-usdm/ETH_USDT", [(int(ns), payload) for ns, payload in messages])
    lines = lines_of(store, "binance-usdm/ETH_USDT").splitlines()
    head = b'"feed":"binance-usdm/ETH_USDT","stream":"trade","kind":"data","session":1'
    assert lines == [b'{"recv_ns":%b,%b,"payload":%b}' % (ns, head, payload) for ns, payload in messages]
