"""The lines of a file, plain, gzip or zstd, in bounded memory.

Rule: whatever can be read before damage is given out before the damage is raised; a capture that was cut short is
still evidence up to the cut. What a file is packed with is told by its first bytes, not its name. A line ends in LF or
in CRLF, and a byte order mark before the first is none of it.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from mdtool.errors import ImportFormatError

STDIN = Path("-")
MAX_LINE = 64 << 20  # bytes; the largest message known is a full book of some 10 MiB
BLOCK = 256 << 10
# A zstd block of 128 KiB can come from 4 bytes, so this much input is at most 32 MiB of output.
ZSTD_INPUT = 1 << 10
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"


class CutShort(Exception):
    """The file breaks off or is damaged; the text says how."""


class Stop:
    """A wish to stop, made by a signal's handler. What waits for a pipe or a disk is broken off; everything else comes
    to an end where it may."""

    def __init__(self) -> None:
        self.asked = False
        self.waiting = False

    def ask(self) -> None:
        """Raises KeyboardInterrupt where it finds the program waiting, or was asked before."""
        again, self.asked = self.asked, True
        if again or self.waiting:
            raise KeyboardInterrupt


class Lines:
    """Iterates over a file's lines without their ends.

    `number` is that of the line given last, from 1; `terminated` whether a newline ended it. Raises CutShort where the
    file breaks off, after the lines before that, and a last line without its newline before that. `offset` and
    `digest` are of what has been read of the file, packed as it is.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None = None, stop: Stop | None = None) -> None:
        self.path = path
        self.number = 0
        self.terminated = True
        self.offset = 0
        self._hash = blake2b(digest_size=16)
        self._head = b""  # read to see what the file is packed with, not yet given on
        self._progress = progress
        self._stop = stop

    @property
    def digest(self) -> str:
        """BLAKE2b, 16 bytes of it, in hexadecimal."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        pending: list[bytes] = []  # of a line not ended yet
        size = 0
        cut: CutShort | None = None
        returns = False  # carriage returns have been seen
        with open_file(self.path) as file:
            blocks = self._blocks(file)
            while True:
                try:
                    block = next(blocks, None)
                except CutShort as error:
                    cut, block = error, None
                if block is None:
                    break
                returns = returns or b"\r" in block
                first, *rest = block.split(b"\n")
                pending.append(first)
                size += len(first)
                if size > MAX_LINE:
                    raise CutShort(f"line {self.number + 1} is longer than {MAX_LINE >> 20} MiB")
                if not rest:
                    continue
                line = b"".join(pending)
                self.number += 1
                yield _bare(line, self.number == 1) if returns or self.number == 1 else line
                for line in rest[:-1]:
                    self.number += 1
                    yield line.removesuffix(b"\r") if returns else line
                pending, size = [rest[-1]], len(rest[-1])
        if last := _bare(b"".join(pending), self.number == 0):
            self.number += 1
            self.terminated = False
            yield last
        if cut is not None:
            try:
                raise cut
            finally:
                del cut  # it would hold this frame, which holds it

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        """The file's contents, unpacked."""
        while len(self._head) < len(_ZSTD) and (more := self._pull(file, len(_ZSTD) - len(self._head))):
            self._head += more

        def read(size: int) -> bytes:
            head, self._head = self._head[:size], self._head[size:]
            return head + self._pull(file, size - len(head)) if len(head) < size else head

        if self._head.startswith(_GZIP):
            source = _gzip(read)
        elif self._head.startswith(_ZSTD):
            source = _zstd(read)
        else:
            source = iter(lambda: read(BLOCK), b"")
        for block in source:
            yield block
            if self._progress is not None:
                self._progress(self.offset)

    def _pull(self, file: BinaryIO, size: int) -> bytes:
        stop = self._stop
        try:
            if stop is None:
                block = file.read(size)
            else:
                stop.waiting = True
                try:
                    block = file.read(size)
                finally:
                    stop.waiting = False
        except OSError as error:
            raise CutShort(f"reading failed: {error.strerror or error}") from None
        self.offset += len(block)
        self._hash.update(block)
        return block


def _bare(line: bytes, first: bool) -> bytes:
    """A line without the CR that ends it, the first one without the mark before it."""
    return (line.removeprefix(_BOM) if first else line).removesuffix(b"\r")


def open_file(path: Path) -> BinaryIO:
    """The file for reading, standard input for `-`. Raises ImportFormatError where there is none to read."""
    if path == STDIN:
        # As a descriptor of its own: closing it leaves the program's.
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ImportFormatError(f"{path}: no such file to import") from None
    except IsADirectoryError:
        raise ImportFormatError(f"{path}: a directory, expected a file; name the files in it") from None
    except (OSError, ValueError) as error:
        raise ImportFormatError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None


def is_read_once(path: Path) -> bool:
    """Whether what is read of it is gone: standard input, a pipe, what the shell puts in the place of <(a command)."""
    return path == STDIN or (path.exists() and not path.is_file() and not path.is_dir())


def name_of(path: Path) -> str:
    """What to call a file in a sentence."""
    return "standard input" if path == STDIN else str(path)


class _Packed:
    """What gzip wants of a file."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("what is unpacked as it comes is not gone back in")


def _gzip(read: Callable[[int], bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=_Packed(read), mode="rb") as unpacked:
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


def _zstd(read: Callable[[int], bytes]) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    given = b""
    while True:
        data = given or read(ZSTD_INPUT)
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
            if not given and not (given := read(ZSTD_INPUT)):
                return  # ended where a frame ended
            unpacker = zstandard.ZstdDecompressor().decompressobj()
    raise CutShort("the zstd data ends early")
