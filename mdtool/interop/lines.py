"""The lines of a file, plain, gzip or zstd, in bounded memory.

Rule: whatever can be read before damage is given out before the damage is raised; a capture that was cut short is
still evidence up to the cut. What a file is packed with is told by its first bytes, not its name.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mdtool.errors import ImportFormatError

MAX_LINE = 64 << 20  # bytes; the largest message known is a full book of some 10 MiB
BLOCK = 256 << 10
# A zstd block of 128 KiB can come from 4 bytes, so this much input is at most 32 MiB of output.
ZSTD_INPUT = 1 << 10
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class CutShort(Exception):
    """The file breaks off or is damaged; the text says how."""


class Lines:
    """Iterates over a file's lines without their newlines.

    `number` is that of the line given last, from 1; `terminated` whether a newline ended it. Raises CutShort where the
    file breaks off, after the lines before that, and a last line without its newline before that.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None = None) -> None:
        self.path = path
        self.number = 0
        self.terminated = True
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        pending: list[bytes] = []  # of a line not ended yet
        size = 0
        cut: CutShort | None = None
        with open_file(self.path) as file:
            blocks = _blocks(file, self._progress)
            while True:
                try:
                    block = next(blocks, None)
                except CutShort as error:
                    cut, block = error, None
                if block is None:
                    break
                first, *rest = block.split(b"\n")
                pending.append(first)
                size += len(first)
                if size > MAX_LINE:
                    raise CutShort(f"line {self.number + 1} is longer than {MAX_LINE >> 20} MiB")
                if not rest:
                    continue
                self.number += 1
                yield b"".join(pending)
                for line in rest[:-1]:
                    self.number += 1
                    yield line
                pending, size = [rest[-1]], len(rest[-1])
        if last := b"".join(pending):
            self.number += 1
            self.terminated = False
            yield last
        if cut is not None:
            raise cut


def open_file(path: Path) -> BinaryIO:
    """The file for reading. Raises ImportFormatError where there is none to read."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ImportFormatError(f"{path}: no such file to import") from None
    except IsADirectoryError:
        raise ImportFormatError(f"{path}: a directory, expected a file; name the files in it") from None
    except (OSError, ValueError) as error:
        raise ImportFormatError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None


def _blocks(file: BinaryIO, progress: Callable[[int], None] | None) -> Iterator[bytes]:
    head = file.peek(len(_ZSTD)) if hasattr(file, "peek") else b""
    if head.startswith(_GZIP):
        source = _gzip(file)
    elif head.startswith(_ZSTD):
        source = _zstd(file)
    else:
        source = iter(lambda: file.read(BLOCK), b"")
    try:
        for block in source:
            yield block
            if progress is not None:
                progress(file.tell())
    except OSError as error:
        raise CutShort(f"reading failed: {error.strerror or error}") from None


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while True:
            try:
                block = unpacked.read1(BLOCK)  # read() would drop what it has when the damage comes
            except EOFError:
                raise CutShort("the gzip data ends early") from None
            except (gzip.BadGzipFile, zlib.error) as error:
                raise CutShort(f"the gzip data is damaged: {error}") from None
            if not block:
                return
            yield block


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    given = b""
    while True:
        data = given or file.read(ZSTD_INPUT)
        if not data:
            break
        try:
            block = unpacker.decompress(data)
        except zstandard.ZstdError as error:
            raise CutShort(f"the zstd data is damaged: {error}") from None
        given = unpacker.unused_data if unpacker.eof else b""
        for at in range(0, len(block), BLOCK):
            yield block[at : at + BLOCK]
        if unpacker.eof:
            if not given and not (given := file.read(ZSTD_INPUT)):
                return  # ended where a frame ended
            unpacker = zstandard.ZstdDecompressor().decompressobj()
    raise CutShort("the zstd data ends early")
