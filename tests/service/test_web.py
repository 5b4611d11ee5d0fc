"""What is served over HTTP: who asks well is answered, who does not is cut, what cannot be read is said to be so."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from duty import NOW, SYMBOLS, Duty, on_duty, well
from patience import until

from mdtool.clock import SECOND, ManualClock
from mdtool.errors import PortInUse, UsageError
from mdtool.service import doorkeeping, web
from mdtool.service.listening import listen, parse_address, url
from mdtool.service.readings import Readings
from mdtool.storage.store import Store


@asynccontextmanager
async def serving(store: Store, clock: ManualClock) -> AsyncIterator[tuple[str, int]]:
    """A server of the store; where it is."""
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        stopped = asyncio.Event()
        task = asyncio.create_task(web.Web(store, clock).serve(listening, stopped))
        try:
            yield f"http://127.0.0.1:{port}", port
        finally:
            stopped.set()
            await task


def asked(duty: Duty, ask: Callable) -> object:
    """What `ask(session, base, port)` comes to."""

    async def main() -> object:
        clock = ManualClock(duty.now_ns)
        async with serving(duty.store, clock) as (base, port), aiohttp.ClientSession() as session:
            return await ask(session, base, port)

    return asyncio.run(main())


def test_each_path(tmp_path: Path) -> None:
    async def ask(session, base, port):
        found = {}
        for path in ("/", "/health", "/ready", "/metrics", "/status", "/nothing", "/../../etc/passwd", "/status/"):
            async with session.get(base + path) as answer:
                found[path] = (answer.status, answer.content_type, await answer.read())
                assert answer.headers["Server"] == "mdtool"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        return found

    with well(tmp_path) as duty:
        duty.counts(SYMBOLS[0], connected=0)
        duty.passes()
        found = asked(duty, ask)
    assert {path: (status, kind) for path, (status, kind, _) in found.items()} == {
        "/": (200, "text/html"),
        "/health": (200, "application/json"),
        "/ready": (503, "application/json"),
        "/metrics": (200, "text/plain"),
        "/status": (200, "application/json"),
        "/nothing": (404, "text/plain"),
        "/../../etc/passwd": (404, "text/plain"),
        "/status/": (404, "text/plain"),
    }
    assert json.loads(found["/health"][2])["status"] == "alive"
    assert json.loads(found["/ready"][2])["problems"][0]["feed"] == "sim/ALPHA_USDT"
    assert b'\nmdtool_recorder_up{recorder="sim",venue="sim"} 1.0\n' in found["/metrics"][2]
    status = json.loads(found["/status"][2])
    assert (status["schema"], [feed["feed"] for feed in status["feeds"]]) == (1, ["sim/ALPHA_USDT", "sim/BRAVO_USDT"])


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = web.resources.files("mdtool.service").joinpath("overview.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=[\"']?(?!/status|/ready|/health|/metrics|data:)[^\"'> ]+", page)
    assert "innerHTML" not in page and "eval(" not in page and "document.write" not in page
    assert re.findall(r"https?://[^\"' ]+", page) == ["http://www.w3.org/2000/svg"]  # a name, not an address


def test_only_looking_is_allowed(tmp_path: Path) -> None:
    async def ask(session, base, port):
        found = {}
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            async with session.request(method, base + "/metrics", data=b"x" * 100_000) as answer:
                found[method] = (answer.status, answer.headers["Allow"])
        async with session.head(base + "/metrics") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
            assert int(answer.headers["Content-Length"]) > 1000
        return found

    with well(tmp_path) as duty:
        found = asked(duty, ask)
    assert set(found.values()) == {(405, "GET, HEAD")}


async def said(port: int, data: bytes) -> bytes:
    """What comes back for some bytes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        writer.write(data)
        while got := await reader.read(65536):
            found += got
    except ConnectionError:
        pass
    finally:
        writer.close()
    return found


HOSTILE = [
    b"GE<script>T / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n",
    b"GET / HTTP/1.1\r\n<script>: x\r\nAccept: text/html\r\n\r\n",
    b"GET /<script> HTTP/9.9\r\nAccept: text/html\r\n\r\n",
    b"GET /<script>" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: <script>\r\n" * 10_000 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03<script>\r\n\r\n",
    b"GET /<script> HTTP/1.1\r\nHost: <script>\r\nConnection: close\r\nAccept: text/html\r\n\r\n",
]


def test_nothing_that_was_sent_comes_back(tmp_path: Path) -> None:
    async def ask(session, base, port):
        return [await said(port, hostile) for hostile in HOSTILE]

    with well(tmp_path) as duty:
        found = asked(duty, ask)
    for answer in found:
        assert b"script" not in answer.replace(b"script-src", b"")
        assert answer == b"" or re.match(rb"HTTP/1\.[01] (400|404) ", answer)


def test_who_does_not_speak_is_cut_and_gives_way(tmp_path: Path, monkeypatch) -> None:
    async def ask(session, base, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        slow = await asyncio.open_connection("127.0.0.1", port)
        slow[1].write(b"GET /health HTTP/1.1\r\nHost:")
        async with session.get(base + "/health") as answer:  # the tenth, where there is room for four
            assert answer.status == 200
        for reader, writer in [*silent, slow]:
            assert await reader.read() == b""
            writer.close()

    monkeypatch.setattr(doorkeeping.Door.__init__, "__defaults__", (4, 0.05))
    with well(tmp_path) as duty:
        asked(duty, ask)


def test_who_does_not_take_the_answer_is_cut(tmp_path: Path, monkeypatch) -> None:
    """The others are answered all the while."""

    async def ask(session, base, port):
        stuck = socket.create_connection(("127.0.0.1", port))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(stuck, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3):
            async with session.get(base + "/metrics") as answer:
                assert len(await answer.read()) == 32 << 20
        await until(lambda: cut)
        stuck.close()

    cut = []
    real = web.Web._send

    async def send(self, request, answer):
        response = await real(self, request, answer)
        if request.transport is None or request.transport.is_closing():
            cut.append(request)
        return response

    monkeypatch.setattr(web.Web, "_send", send)
    monkeypatch.setattr(web, "PATIENCE", 1.0)
    monkeypatch.setitem(web.PATHS, "/metrics", lambda _: web.Answer(200, "text/plain", b"x" * (32 << 20)))
    with well(tmp_path) as duty:
        asked(duty, ask)


def test_a_thousand_scrapes_of_one_reading_are_made_once(tmp_path: Path, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(web, "TICK", 3600.0)
    monkeypatch.setitem(
        web.PATHS, "/metrics", lambda reading: made.append(reading) or web.Answer(200, "text/plain", b"x")
    )

    async def ask(session, base, port):
        async def one():
            async with session.get(base + "/metrics") as answer:
                return await answer.read()

        return await asyncio.gather(*(one() for _ in range(1000)))

    with well(tmp_path) as duty:
        assert set(asked(duty, ask)) == {b"x"}
    assert len(made) == 1


def test_what_cannot_be_read_is_said_to_be_so(tmp_path: Path, monkeypatch) -> None:
    """A disk that hangs, one that fails, and one that is back."""
    monkeypatch.setattr(web, "TICK", 0.0)
    real = Readings.take

    def fails(self, now_ns):
        raise OSError(5, "Input/output error")

    async def main():
        with well(tmp_path) as duty:
            clock = ManualClock(duty.now_ns)
            async with serving(duty.store, clock) as (base, _), aiohttp.ClientSession() as session:

                async def health():
                    async with session.get(base + "/health") as answer:
                        return answer.status, json.loads(await answer.read())

                assert (await health())[0] == 200
                monkeypatch.setattr(Readings, "take", fails)
                clock.advance(16 * SECOND)
                while (found := await health())[0] == 200 or "Input" not in found[1]["problems"][0]["why"][0]:
                    await asyncio.sleep(0)
                assert found[1] == {
                    "schema": 1, "now_ns": NOW + 17 * SECOND, "status": "failing", "ready": False,
                    "problems": [{"recorder": None, "feed": None, "why": [found[1]["problems"][0]["why"][0]]}],
                }  # fmt: skip
                assert found[1]["problems"][0]["why"][0].endswith("s ago: [Errno 5] Input/output error")
                monkeypatch.setattr(Readings, "take", real)
                duty.passes(16 * SECOND)
                while (await health())[0] != 200:
                    await asyncio.sleep(0)

    asyncio.run(main())


def test_a_defect_ends_it_so_that_it_is_started_again(tmp_path: Path, monkeypatch) -> None:
    def fails(self, now_ns):
        raise RuntimeError("a defect")

    monkeypatch.setattr(Readings, "take", fails)

    async def main():
        with on_duty(tmp_path) as duty, listen("127.0.0.1", 0) as listening:
            await web.Web(duty.store, ManualClock(NOW)).serve(listening, asyncio.Event())

    with pytest.raises(RuntimeError, match="a defect"):
        asyncio.run(main())


# -- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9090", ("127.0.0.1", 9090)),
        (":9090", ("127.0.0.1", 9090)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:9090", ("::1", 9090)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    assert parse_address(text) == found


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3.4", "1.2.3.4:", "::1:9090", "h:-1", "h:70000", "h:9x", "http://h:1/", "h:²"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"no address to serve on: {text!r}; expected HOST:PORT or PORT")):
        parse_address(text)


def test_a_port_that_is_taken_and_a_host_that_is_not_ours() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert url(taken) == f"http://127.0.0.1:{port}/"
        with pytest.raises(PortInUse, match=f"cannot serve on 127.0.0.1:{port}: the port is in use"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match=r"cannot serve on 192\.0\.2\.1:80: "):
        listen("192.0.2.1", 80)
    with pytest.raises(UsageError, match=r"cannot serve on 'no\.such\.host\.invalid': "):
        listen("no.such.host.invalid", 80)
