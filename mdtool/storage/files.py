"""Files as a store needs them: created exclusively with safe modes, never through links, never shortened."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from mdtool.errors import StoreError, StoreFull, SyncFailed
from mdtool.kernel.mapping import FileMap
from mdtool.units import count

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750

_TRIES = 8  # at making a directory whose empty parent a neighbour takes away in that moment

_libc = ctypes.CDLL(None, use_errno=True)  # whose syncfs Python has not
_libc.syncfs.argtypes = [ctypes.c_int]
_PIECE = 1 << 24
_ZEROS = memoryview(bytes(1 << 16))
_NORESERVE = 0x4000  # a mapping as large as a sparse file must not be refused for its size


def make_directory(path: Path) -> None:
    """The directory and its parents, on disk where they are new. Raises StoreError where a file or a link stands in the
    way."""
    if path.is_dir():
        return
    try:
        fresh = [one for one in (path, *path.parents) if not one.exists()]
        _make_all(path)
        try:
            for one in reversed(fresh):
                with contextlib.suppress(PermissionError):  # a parent that may be written to and not read
                    sync_directory(one.parent)
        except SyncFailed:
            with contextlib.suppress(OSError):  # else the next call would find it there and take it for kept
                for one in fresh:
                    one.rmdir()
            raise
    except FileExistsError:
        raise StoreError(f"{path}: a file stands where a directory is due; move it away") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot make the directory: {error.strerror}") from None


def create(path: Path, size: int) -> int:
    """A new sparse file, open for writing. Raises FileExistsError rather than touch what is there."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return fd


def open_existing(path: Path, *, writable: bool = False) -> int:
    """An existing file; a symbolic link is refused, and a pipe in its place is not waited for."""
    access = os.O_RDWR if writable else os.O_RDONLY
    return os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def map_file(fd: int, *, writable: bool = False) -> FileMap:
    """The whole file, shared, for as long as anybody has a view of it; the descriptor is not needed for that."""
    return FileMap(fd, os.fstat(fd).st_size, writable)


def allocated(fd: int) -> bool:
    """Whether a file has storage behind each of its bytes."""
    status = os.fstat(fd)
    return status.st_blocks * 512 >= status.st_size


def holes(fd: int, stop: int) -> Iterator[tuple[int, int]]:
    """Where below `stop` a file has nothing stored: [start, end) each. Reserved and not yet written counts as that."""
    at, size = 0, min(stop, os.fstat(fd).st_size)
    while at < size:
        start = os.lseek(fd, at, os.SEEK_HOLE)
        if start >= size:
            return
        try:
            at = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            at = size  # none from here on
        yield start, min(at, size)


def check_backed(mapping: FileMap, fd: int, stop: int, where: Path) -> None:
    """Raises StoreFull where reading the mapping below `stop` would end the process (SIGBUS): in memory a hole needs
    storage to be read, and there is none left."""
    for start, end in holes(fd, stop):
        if not mapping.is_backed(start, end):
            raise StoreFull(
                f"{where}: nothing is stored at bytes {start:,} to {end:,}, and no space is left to read that; "
                "free some, then run: mdtool verify"
            )


def read_copy(fd: int) -> memoryview:
    """A file's content in memory of our own: what cannot be mapped can be read. Holes cost nothing."""
    size = os.fstat(fd).st_size
    copied = memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)) if size else b""
    at = 0
    for start, end in (*holes(fd, size), (size, size)):
        while at < start:
            if not (got := os.preadv(fd, [copied[at : min(start, at + _PIECE)]], at)):
                break
            at += got
        at = end
    return memoryview(copied)


def reserve(fd: int, start: int, stop: int, where: Path) -> None:
    """Back [start, stop) of a file with storage, so that writing there through a mapping cannot end in SIGBUS on a
    full disk. Raises StoreFull."""
    try:
        os.posix_fallocate(fd, start, stop - start)
    except OSError as error:
        raise refusal(where, error, f"cannot reserve {count(stop - start, 'more byte')}") from None


def blank(fd: int, start: int, stop: int, where: Path) -> None:
    """Have zeros in [start, stop) of a file, in the system's cache. What a mapping touches first is read ahead by as
    much as the device likes, holes and all: megabytes and milliseconds. What is there already is not. Raises
    StoreFull."""
    try:
        while start < stop:
            whole, rest = divmod(min(stop - start, _PIECE), len(_ZEROS))
            start += os.pwritev(fd, [*[_ZEROS] * whole, _ZEROS[:rest]], start)
    except OSError as error:
        raise refusal(where, error, f"cannot write {count(stop - start, 'more byte')}") from None


def refusal(where: Path, error: OSError, what: str) -> StoreError:
    """What the system refused, as the error to raise: StoreFull where there is no space, else StoreError."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{where}: {what}: no space left; free some and start again")
    return StoreError(f"{where}: {what}: {error.strerror or error}")


def denied(path: Path | str) -> bool:
    """Whether this user may not read what is there; in a directory, what lies in it."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - of text, which is asked for by the thousand
    except PermissionError:
        return True
    except OSError:
        return False  # not there, or none of a user's business
    wanted = os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)
    return not os.access(path, wanted, effective_ids=True)


def denial(path: Path) -> str:
    """What is said then."""
    return f"{path}: permission denied: let this user read it, or run this as its owner"


def sync(fd: int, where: Path) -> None:
    """Bring a file's content to disk. Raises SyncFailed. Once it has, the system forgets what it could not write and
    takes it for written: who calls this again has to write anew before."""
    try:
        os.fdatasync(fd)
    except OSError as error:
        raise _failed(where, error) from None


def sync_directory(path: Path) -> None:
    """Make renames and new names in it survive a power loss. Raises SyncFailed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        raise _failed(path, error) from None
    finally:
        os.close(fd)


def _failed(where: Path, error: OSError) -> SyncFailed:
    return SyncFailed(f"{where}: cannot be brought to disk: {error.strerror or error}; see to the device")


def write_durably(path: Path, pieces: Sequence[bytes | memoryview]) -> None:
    """A new file with this content, under its name only once it is whole and on disk; none where that fails. Raises
    FileExistsError, SyncFailed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    fd = create(aside, 0)
    try:
        with os.fdopen(fd, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            sync(file.fileno(), path)
        os.link(aside, path)  # and not rename, which would replace what is there
    finally:
        aside.unlink(missing_ok=True)
    sync_name(path)


def write_together(contents: dict[Path, list[bytes]], empty: Sequence[Path], root: Path) -> None:
    """As `write_durably` each, in order, and directories for them and the `empty` ones, with two flushes of the file
    system of `root` and not four syncs for each. A name that is taken is left as it is. Raises StoreError, SyncFailed;
    what is new has no name then."""
    asides = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in contents}
    folders: list[Path] = []
    linked: list[Path] = []
    try:
        for folder in (*empty, *(path.parent for path in contents)):
            folders += [one for one in (folder, *folder.parents) if not one.exists()]
            _make_all(folder)
        for path, aside in asides.items():
            aside.unlink(missing_ok=True)
            with os.fdopen(create(aside, 0), "wb") as file:
                file.writelines(contents[path])
        _sync_system(root)
        for path, aside in asides.items():
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
                linked.append(path)
        for aside in asides.values():
            aside.unlink(missing_ok=True)
        _sync_system(root)
    except BaseException as error:
        for path in [*asides.values(), *linked]:
            path.unlink(missing_ok=True)
        for folder in sorted(folders, reverse=True):  # else the next call would find it there and take it for kept
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise refusal(root, error, "cannot make what is to be there") from None
        raise


def _make_all(path: Path) -> None:
    """A directory and its parents. Whoever is the last in one in shared memory takes it away: then it is made again."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(FileNotFoundError):
            path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            return
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def _sync_system(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(fd):
            number = ctypes.get_errno()
            raise _failed(path, OSError(number, os.strerror(number)))
    finally:
        os.close(fd)


def sync_name(path: Path) -> None:
    """Make a file's new name survive a power loss; where that fails it has none. Raises SyncFailed."""
    try:
        sync_directory(path.parent)
    except SyncFailed:
        path.unlink(missing_ok=True)
        raise


def replace_durably(path: Path, pieces: Sequence[bytes | memoryview]) -> None:
    """This content under `path`, at once and on disk; what was there is kept by whoever linked or mapped it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        write_durably(aside, pieces)
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def boot_id() -> bytes:
    """16 bytes that change with each boot of the machine: shared memory of another boot is gone. Zeros where the kernel
    does not tell."""
    try:
        return uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()).bytes
    except (OSError, ValueError):
        return bytes(16)


def move_into(path: Path, directory: Path) -> None:
    """Move a file into a directory, made if missing; nothing happens where there is no file. Raises StoreError, also
    where the directory is a link."""
    make_directory(directory)
    try:
        if directory.is_symlink():
            raise StoreError(f"{directory}: a symbolic link, expected a directory; move it away")
        path.rename(directory / path.name)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"{path}: cannot be moved to {directory}: {error.strerror}") from None
