"""Where a recorder is spoken to: a Unix socket of its user, a JSON object a line each way.

Rule: whoever connects is not trusted. Lines, talkers and what waits to be read by one are bounded, and what a request
costs is done beside the receiving. A talker that does not read loses lines, which it is told the number of.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, encode

from mdtool.errors import MdtoolError

LONGEST_LINE = 256 * 1024  # bytes; a reload names every symbol
LONGEST_BACKLOG = 256 * 1024  # bytes that wait for one talker
MOST_TALKERS = 64
MOST_KEPT = 500  # events, for who comes later
QUIET = 3600.0  # seconds after which a talker that follows nothing and says nothing is let go


class Follow(Struct, frozen=True, tag_field="do", tag="follow"):
    """Every event after that number, as it comes; `supervisor`: by who keeps this recorder running."""

    after: int = 0
    supervisor: bool = False


class Stop(Struct, frozen=True, tag_field="do", tag="stop"):
    """End gracefully; where `symbols` are named, only these."""

    why: str = "told to stop"
    symbols: tuple[str, ...] = ()


class Snapshot(Struct, frozen=True, tag_field="do", tag="snapshot"):
    """Have the whole book of each symbol; none: of all."""

    symbols: tuple[str, ...] = ()


class Reconnect(Struct, frozen=True, tag_field="do", tag="reconnect"):
    """Have new connections for the symbols; none: all of them."""

    symbols: tuple[str, ...] = ()


class Reload(Struct, frozen=True, tag_field="do", tag="reload"):
    """From now on these symbols and no others."""

    symbols: tuple[str, ...]


class Ping(Struct, frozen=True, tag_field="do", tag="ping"):
    """Say that you are there."""


Request = Follow | Stop | Snapshot | Reconnect | Reload | Ping
_requests = Decoder(Request)


class Event(Struct, frozen=True):
    """What a recorder has to tell: one of `RecorderEvent`'s values and a line about it."""

    number: int  # from 1
    at_ns: int
    event: str
    text: str


class Orders(Protocol):
    """What a recorder can be told. What it returns is said to who told it. Raises MdtoolError."""

    async def __call__(self, request: Request) -> dict[str, Any]: ...


class Control:
    """The socket of one recorder. A context; `tell` from the loop's thread only."""

    def __init__(self, path: Path, orders: Orders, supervised: Callable[[bool], None]) -> None:
        self._path = path
        self._orders = orders
        self._supervised = supervised
        self._events: deque[Event] = deque(maxlen=MOST_KEPT)
        self._told = 0
        self._followers: dict[asyncio.StreamWriter, int] = {}  # and how many events each has lost
        self._supervisors = 0
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Control:
        self._path.unlink(missing_ok=True)  # of one that is gone: this process holds the name
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short(self._path) as path:
                listening.bind(path)
            self._path.chmod(0o600)  # and its folder is this user's alone
            self._server = await asyncio.start_unix_server(self._met, sock=listening, limit=LONGEST_LINE)
        except BaseException:
            listening.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._followers):
            writer.close()
        for task in list(self._talking):
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def tell(self, event: str, text: str, at_ns: int) -> None:
        """An event, to everybody who follows, and kept for who comes later."""
        self._told += 1
        told = Event(self._told, at_ns, event, text)
        self._events.append(told)
        line = encode(told) + b"\n"
        for writer in self._followers:
            self._put(writer, line)

    def _put(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        if writer.transport.get_write_buffer_size() > LONGEST_BACKLOG:
            self._followers[writer] += 1
            return
        if lost := self._followers[writer]:
            self._followers[writer] = 0
            writer.write(encode({"lost": lost}) + b"\n")
        writer.write(line)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talking) >= MOST_TALKERS:
            writer.close()
            return
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._talking.add(task)
        task.add_done_callback(self._talking.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        supervisor = False
        try:
            while line := await self._line(reader, following=writer in self._followers):
                try:
                    request = _requests.decode(line)
                except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError) as error:
                    await _answer(writer, {"error": f"no request: {error}"})
                    return
                if isinstance(request, Follow):
                    if request.supervisor and not supervisor:
                        supervisor = True
                        self._supervisors += 1
                        self._supervised(True)
                    self._follow(writer, request)
                    continue
                await _answer(writer, await self._obey(request))
        except (ConnectionError, asyncio.LimitOverrunError, ValueError, TimeoutError):
            pass  # gone, or too much in a line
        finally:
            self._followers.pop(writer, None)
            writer.close()
            if supervisor:
                self._supervisors -= 1
                self._supervised(False)

    async def _line(self, reader: asyncio.StreamReader, *, following: bool) -> bytes:
        async with asyncio.timeout(None if following else QUIET):
            return await reader.readline()

    def _follow(self, writer: asyncio.StreamWriter, request: Follow) -> None:
        if writer not in self._followers:
            self._followers[writer] = 0
        for event in self._events:
            if event.number > request.after:
                self._put(writer, encode(event) + b"\n")

    async def _obey(self, request: Request) -> dict[str, Any]:
        if isinstance(request, Ping):
            return {"ok": True, "supervised": bool(self._supervisors)}
        try:
            return {"ok": True, **await self._orders(request)}
        except MdtoolError as error:
            return {"error": str(error)}


async def _answer(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(encode(answer) + b"\n")
    async with asyncio.timeout(QUIET):
        await writer.drain()


@contextmanager
def short(path: Path) -> Iterator[str]:
    """A name for a socket that the system takes: the path itself may be longer than the 107 bytes it allows."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def ask(path: Path, request: Request, timeout: float = 30.0) -> dict[str, Any]:
    """One request and its answer, waited for. Raises MdtoolError: nobody there, no answer in time, refused."""
    with contextlib.ExitStack() as closing:
        talk = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        talk.settimeout(timeout)
        try:
            with short(path) as name:
                talk.connect(name)
            talk.sendall(encode(request) + b"\n")
            line = closing.enter_context(talk.makefile("rb")).readline(LONGEST_LINE)
        except TimeoutError:
            raise MdtoolError(f"{path}: no answer within {timeout:g} s") from None
        except OSError as error:
            raise MdtoolError(f"{path}: {error.strerror or error}") from None
    try:
        answer: dict[str, Any] = Decoder(dict[str, Any]).decode(line)
    except (ValidationError, DecodeError):
        raise MdtoolError(f"{path}: ended before it answered") from None
    if "error" in answer:
        raise MdtoolError(str(answer["error"]))
    return answer
