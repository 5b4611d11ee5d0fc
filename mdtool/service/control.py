"""Where a recorder is spoken to: a Unix socket of its user, a JSON object a line each way.

Rule: whoever connects is not trusted. Lines, talkers and what waits to be read by one are bounded, and what a request
costs is done beside the receiving, little by little. A talker that does not read loses lines, which it is told the
number of; where there are too many, who was silent for longest makes room.
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
PAUSE = 0.02  # seconds between two requests of one talker: it must not have the loop for itself


SUPERVISED = "another process keeps this recorder running"


class Follow(Struct, frozen=True, tag_field="do", tag="follow"):
    """Every event after that number, as it comes; `supervisor`: by who keeps this recorder running, of whom there is
    one. Once only."""

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


class Reread(Struct, frozen=True, tag_field="do", tag="reread"):
    """Read the settings again, and record what they say now. To who keeps recorders running, and not to one of them."""


class Ping(Struct, frozen=True, tag_field="do", tag="ping"):
    """Say that you are there."""


Request = Follow | Stop | Snapshot | Reconnect | Reload | Reread | Ping
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


class _Talker:
    """One that has connected."""

    def __init__(self, writer: asyncio.StreamWriter, now: float) -> None:
        self.writer = writer
        self.task: asyncio.Task[None] | None = None
        self.heard = now  # when it last said something
        self.busy = False  # what it said is being done
        self.follows = False
        self.supervises = False
        self.lost = 0  # events

    def leave(self) -> None:
        """What it was sent so far still reaches it."""
        self.writer.close()
        if self.task is not None:
            self.task.cancel()

    def tell(self, line: bytes) -> None:
        """Where it reads."""
        if self.writer.transport.get_write_buffer_size() > LONGEST_BACKLOG:
            self.lost += 1
            return
        if self.lost:
            self.writer.write(encode({"lost": self.lost}) + b"\n")
            self.lost = 0
        self.writer.write(line)


class Control:
    """The socket of one recorder. A context; `tell` from the loop's thread only."""

    def __init__(self, path: Path, orders: Orders, supervised: Callable[[bool], None]) -> None:
        self._path = path
        self._orders = orders
        self._supervised = supervised
        self._events: deque[Event] = deque(maxlen=MOST_KEPT)
        self._told = 0
        self._server: asyncio.Server | None = None
        self._talkers: set[_Talker] = set()

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
        tasks = [talker.task for talker in self._talkers if talker.task is not None]
        for talker in list(self._talkers):
            talker.leave()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def tell(self, event: str, text: str, at_ns: int) -> None:
        """An event, to everybody who follows, and kept for who comes later."""
        self._told += 1
        told = Event(self._told, at_ns, event, text)
        self._events.append(told)
        line = encode(told) + b"\n"
        for talker in self._talkers:
            if talker.follows:
                talker.tell(line)

    @property
    def supervised(self) -> bool:
        """Somebody is there who would start this recorder again."""
        return any(talker.supervises for talker in self._talkers)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talkers) >= MOST_TALKERS and not self._make_room():
            writer.close()
            return
        talker = _Talker(writer, asyncio.get_running_loop().time())
        self._talkers.add(talker)
        talker.task = asyncio.ensure_future(self._talk(reader, talker))

    def _make_room(self) -> bool:
        """Let go of who has been silent for longest; False where each is needed, or waits for what it asked for."""
        idle = [talker for talker in self._talkers if not talker.supervises and not talker.busy]
        if not idle:
            return False
        longest = min(idle, key=lambda talker: (talker.follows, talker.heard))
        self._talkers.discard(longest)
        longest.leave()
        return True

    async def _talk(self, reader: asyncio.StreamReader, talker: _Talker) -> None:
        try:
            while line := await self._line(reader, talker):
                talker.heard = asyncio.get_running_loop().time()
                try:
                    request = _requests.decode(line)
                except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError) as error:
                    await _answer(talker, {"error": f"no request: {error}"})
                    return
                if isinstance(request, Follow):
                    if refused := self._follow(talker, request):
                        await _answer(talker, {"error": refused})
                        return
                else:
                    await self._obey(talker, request)
                await asyncio.sleep(PAUSE)
        except (OSError, asyncio.LimitOverrunError, ValueError, TimeoutError):
            pass  # gone, or too much in a line
        finally:
            self._talkers.discard(talker)
            talker.writer.close()
            if talker.supervises:
                self._supervised(False)

    async def _line(self, reader: asyncio.StreamReader, talker: _Talker) -> bytes:
        async with asyncio.timeout(None if talker.follows else QUIET):
            return await reader.readline()

    def _follow(self, talker: _Talker, request: Follow) -> str:
        """Tell it what it has missed, and all that comes; why not, where it is refused."""
        if talker.follows:
            return "asked to follow twice"
        if request.supervisor and self.supervised:
            return SUPERVISED
        talker.follows, talker.supervises = True, request.supervisor
        missed = [event for event in self._events if event.number > request.after]
        talker.lost = max(0, self._told - len(self._events) - request.after)  # not kept so long
        for event in missed:
            talker.tell(encode(event) + b"\n")
        if request.supervisor:
            self._supervised(True)
        return ""

    async def _obey(self, talker: _Talker, request: Request) -> None:
        talker.busy = True
        try:
            answer: dict[str, Any] = {"ok": True, "supervised": self.supervised}
            if not isinstance(request, Ping):
                answer = {"ok": True, **await self._orders(request)}
        except MdtoolError as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - a venue's code: who asked is told, and it is nobody else's business
            answer = {"error": f"{type(error).__name__}: {error}"}
        finally:
            talker.busy = False
        await _answer(talker, answer)


async def _answer(talker: _Talker, answer: dict[str, Any]) -> None:
    talker.writer.write(encode(answer) + b"\n")
    async with asyncio.timeout(QUIET):
        await talker.writer.drain()


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
