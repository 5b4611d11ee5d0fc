"""The bytes of a store, and nothing else: no file is opened here.

Everything is little-endian. A structured dtype *is* the format; mdtool-store(5) describes the same bytes in words.
Slots and headers end in (or carry) a CRC-32C over the bytes before it, so a reader can tell a slot that is being
rewritten, torn or damaged from a whole one.
"""

from __future__ import annotations

import re
import uuid
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any
from unicodedata import category
from urllib.parse import unquote

import numpy as np

from mdtool.errors import CorruptStore, UsageError
from mdtool.kernel.journal import crc32c
from mdtool.units import count

VERSION = 1
PAGE = 4096
ROW_BITS = 32  # a position in a feed is chunk id << 32 | row

ROW = np.dtype(
    [
        ("recv_ns", "<i8"),
        ("offset", "<u8"),  # of the payload in the heap
        ("length", "<u4"),
        ("crc32c", "<u4"),  # over the row with this field zero, then the payload
        ("stream", "<u2"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("session", "<u4"),
    ]
)
assert ROW.itemsize == 32

# Offsets shared by all three files: a count that others poll stands alone on its cache line.
CRC_AT = 124  # header CRC, over the bytes before it; what follows it changes while the file is in use
COMMITTED_AT = 256
TIMES_AT = 320  # chunks only
STREAMS_AT = 320  # feed.bin only: number of interned stream names, on a cache line of its own
NAMES_AT = 1024  # chunk index only: the feed's stream names as the writer knew them (stream_names.py)
SETTINGS_AT = 1024  # feed.bin only: a copy of the feed's slot in registry.bin


class Location(IntEnum):
    """Where a chunk's bytes are."""

    SHM = 1
    DISK = 2
    PART = 3  # sealed into a Parquet part


class ChunkState(IntEnum):
    FREE = 0  # preallocated
    LIVE = 1
    CLOSED = 2
    SEALED = 3
    TRASHED = 4


class FeedState(IntEnum):
    ACTIVE = 1
    REMOVED = 2  # no longer part of the store; its slot is never used again


class ChunkFlag(IntFlag):
    ORDERED = 1  # no receive time in it steps back
    UNCLEAN = 2  # its writer died; closed by the one that followed
    REMOVED = 4  # TRASHED, and its files are gone; without it, the next retention run finishes


def _page(fields: list[tuple[str, str, int]]) -> np.dtype[Any]:
    """A header of one page: (name, format, offset) each."""
    names, formats, offsets = ([field[part] for field in fields] for part in range(3))
    spec: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": PAGE}
    dtype: np.dtype[Any] = np.dtype(spec)
    return dtype


# <chunk>.idx: one page of header, then rows.
CHUNK_HEADER = _page(
    [
        ("magic", "S8", 0),
        ("version", "<u4", 8),
        ("header_bytes", "<u4", 12),
        ("store_id", "V16", 16),
        ("feed_id", "<u4", 32),
        ("chunk_id", "<u8", 40),
        ("epoch", "<u8", 48),
        ("row_capacity", "<u8", 56),
        ("heap_capacity", "<u8", 64),
        ("created_ns", "<i8", 72),
        ("index_reserved", "<u8", 80),  # bytes backed with storage when the chunk was preallocated, else 0
        ("heap_reserved", "<u8", 88),
        ("crc32c", "<u4", CRC_AT),
        ("state", "<u8", 128),
        ("closed_ns", "<i8", 136),
        ("heartbeat_ns", "<i8", 192),
        ("committed", "<u8", COMMITTED_AT),
        ("min_ns", "<i8", TIMES_AT),  # lowest and highest receive time, as of the last commit
        ("max_ns", "<i8", TIMES_AT + 8),
        ("disordered", "<u8", TIMES_AT + 16),  # 1: a receive time stepped back
    ]
)
CHUNK_MAGIC = b"MDTCHUNK"
STATE_AT, CLOSED_NS_AT, HEARTBEAT_AT = 128, 136, 192

# feed.bin: one page of header, then stream names, then the chunk table.
FEED_HEADER = _page(
    [
        ("magic", "S8", 0),
        ("version", "<u4", 8),
        ("header_bytes", "<u4", 12),
        ("store_id", "V16", 16),
        ("feed_id", "<u4", 32),
        ("created_ns", "<i8", 40),
        ("crc32c", "<u4", CRC_AT),
        ("committed", "<u8", COMMITTED_AT),
        ("streams", "<u8", STREAMS_AT),
    ]
)
FEED_MAGIC = b"MDTFEED\0"
STREAM_SLOT = np.dtype([("name", "S60"), ("crc32c", "<u4")])
MAX_STREAMS = 1024  # a feed has a dozen; a venue that invents names must not fill the disk with them
MAX_STREAM_NAME = 60
CHUNK_SLOT = np.dtype(
    [
        ("chunk_id", "<u8"),
        ("epoch", "<u8"),
        ("state", "<u4"),
        ("location", "<u4"),
        ("flags", "<u4"),
        ("part", "<u4"),  # number of the part that holds it, once sealed
        ("rows", "<u8"),  # final once CLOSED
        ("heap_bytes", "<u8"),
        ("min_ns", "<i8"),  # lowest and highest receive time, final once CLOSED
        ("max_ns", "<i8"),
        ("created_ns", "<i8"),
        ("closed_ns", "<i8"),
        ("boot", "V16"),  # boot id of the machine while the chunk is in shared memory, which ends with it
        ("part_bytes", "<u8"),  # size of that part's file, and CRC-32C of the whole of it
        ("part_crc32c", "<u4"),
        ("rows_crc32c", "<u4"),  # over the chunk's rows, as the part's metadata has it
        ("reserved", "V12"),
        ("crc32c", "<u4"),
    ]
)
assert CHUNK_SLOT.itemsize == 128
CHUNKS_AT = PAGE + MAX_STREAMS * STREAM_SLOT.itemsize

# registry.bin: one page of header, then one slot a feed.
STORE_HEADER = _page(
    [
        ("magic", "S8", 0),
        ("version", "<u4", 8),
        ("header_bytes", "<u4", 12),
        ("store_id", "V16", 16),
        ("created_ns", "<i8", 32),
        ("crc32c", "<u4", CRC_AT),
        ("next_session", "<u8", 192),
        ("committed", "<u8", COMMITTED_AT),
    ]
)
REGISTRY = "registry.bin"  # in the store's directory
STORE_MAGIC = b"MDTSTORE"
NEXT_SESSION_AT = 192
FEED_SLOT = np.dtype(
    [
        ("feed_id", "<u4"),
        ("state", "<u4"),  # FeedState
        ("venue", "S32"),
        ("symbol", "S64"),
        ("live", "<u4"),  # Location of its live chunks
        ("scale_known", "<u4"),
        ("price_exp", "<i4"),
        ("size_exp", "<i4"),
        ("chunk_bytes", "<u8"),
        ("created_ns", "<i8"),
        ("live_window_ns", "<i8"),  # closed chunks younger than this are not sealed yet
        ("retain_ns", "<i8"),  # sealed parts older than this may go; 0: no limit
        ("retain_bytes", "<u8"),  # the oldest parts beyond this much may go; 0: no limit
        ("keep_last", "<u4"),  # parts that stay whatever the limits say
        ("reserved1", "<u4"),
        ("archive", "S160"),  # URI under which parts are kept; empty: the feed's own directory
        ("reserved2", "V180"),
        ("crc32c", "<u4"),
    ]
)
assert FEED_SLOT.itemsize == 512

# cursors/<name>: two slots, a page apart, written in turn; the whole one with the higher generation counts.
CURSOR_SLOT = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("feed_id", "<u4"),
        ("generation", "<u8"),
        ("position", "<u8"),  # the next record its owner wants; 0: the first that is kept
        ("updated_ns", "<i8"),
        ("lease_until_ns", "<i8"),  # until then retention keeps what stands from the position on; 0: no lease
        ("reserved", "V12"),
        ("crc32c", "<u4"),
    ]
)
assert CURSOR_SLOT.itemsize == 64
CURSOR_MAGIC = b"MDTCURSR"
CURSOR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,62}")

VENUE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
# A symbol may be in any script that a venue lists: letters, marks, digits and pictures; of ASCII these.
_SYMBOL_ASCII = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:+-@=")
_FOLDER_ASCII = _SYMBOL_ASCII - frozenset("@=")  # stand for themselves in a folder's name; "=" splits hive's
MAX_SYMBOL = 63  # bytes


def is_symbol(text: str) -> bool:
    """Whether a feed can be called so."""
    if not text or text[0] in ".:+-" or len(text.encode("utf-8", "replace")) > MAX_SYMBOL:
        return False
    return all(c in _SYMBOL_ASCII if c.isascii() else category(c)[0] in "LMN" or category(c) == "So" for c in text)


def folder_name(symbol: str) -> str:
    """A symbol as the name of a folder: what is not plain is percent-encoded, so at most three bytes for each."""
    return "".join(
        character if character in _FOLDER_ASCII else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in symbol
    )


def symbol_of_folder(name: str) -> str | None:
    """The symbol a folder is named after; None of a folder that is not a feed's."""
    try:
        symbol = unquote(name, errors="strict")
    except UnicodeDecodeError:
        return None
    return symbol if is_symbol(symbol) and folder_name(symbol) == name else None


def check_name(venue: str, symbol: str) -> None:
    """Refuse what no feed of the store can be called."""
    if not VENUE_NAME.fullmatch(venue):
        raise UsageError(f"venue {venue!r}: expected lower-case letters, digits and dashes")
    if not is_symbol(symbol):
        raise UsageError(
            f"symbol {symbol[:80]!r}: expected letters, digits and _.:+-@= (at most {MAX_SYMBOL} bytes), as in ETH_USDT"
        )


def sealed(dtype: np.dtype[Any], **fields: object) -> bytes:
    """The bytes of a slot or header with its CRC filled in."""
    value = np.zeros((), dtype)
    for name, field in fields.items():
        value[name] = field
    crc_at = CRC_AT if dtype.itemsize == PAGE else dtype.itemsize - 4
    value["crc32c"] = crc32c(value.tobytes()[:crc_at])
    return value.tobytes()


def chunk_header(store_id: str, feed_id: int, chunk_id: int, epoch: int, **fields: object) -> bytes:
    """The first page of a chunk's index: whose it is, and its other fields."""
    return sealed(
        CHUNK_HEADER,
        magic=CHUNK_MAGIC,
        version=VERSION,
        header_bytes=PAGE,
        store_id=uuid.UUID(store_id).bytes,
        feed_id=feed_id,
        chunk_id=chunk_id,
        epoch=epoch,
        **fields,
    )


def unsealed(dtype: np.dtype[Any], data: bytes) -> np.void | None:
    """The slot or header in `data`, or None where its CRC does not hold."""
    crc_at = CRC_AT if dtype.itemsize == PAGE else dtype.itemsize - 4
    value: np.void = np.frombuffer(data, dtype, 1)[0]
    return value if crc32c(data[:crc_at]) == value["crc32c"] else None


def header(dtype: np.dtype[Any], magic: bytes, data: bytes, where: str) -> np.void:
    """The header in `data`. Raises CorruptStore naming `where`, what was found and expected."""
    if len(data) < PAGE:
        raise CorruptStore(f"{where}: {count(len(data), 'byte')}, expected a header of {PAGE}; run: mdtool verify")
    if data[: len(magic)] != magic:
        raise CorruptStore(f"{where}: begins with {data[:8]!r}, expected {magic!r}: not a file of a store")
    value = unsealed(dtype, data[:PAGE])
    if value is None:
        raise CorruptStore(f"{where}: the header's checksum does not hold; run: mdtool verify")
    if value["version"] != VERSION:
        raise CorruptStore(
            f"{where}: format version {value['version']}, this mdtool reads {VERSION}: use the one that wrote it"
        )
    return value


def chunk_name(chunk_id: int) -> str:
    """File name of a chunk, without suffix; `.idx` and `.dat` stand behind it."""
    return f"{chunk_id:08d}"


NEXT_CHUNK = "next"  # name a preallocated chunk waits under, in the directory it will live in


def feed_directory(store: Path, venue: str, symbol: str) -> Path:
    return store / "feeds" / venue / folder_name(symbol)


RUN = "run"  # folder in a store of those who record into it; storage leaves it alone


def shm_root(store_id: str) -> Path:
    """What a store has in shared memory: named by the store's id, so two stores never meet."""
    return Path("/dev/shm") / f"mdtool-{store_id}"


def shm_directory(store_id: str, feed_id: int) -> Path:
    """Where a feed's chunks live in shared memory."""
    return shm_root(store_id) / f"{feed_id:06d}"
