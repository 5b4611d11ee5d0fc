"""Through a proxy of the environment, over real sockets: websocket and REST alike, and it is named where it fails."""

from __future__ import annotations

import asyncio
import base64
import threading

import pytest
from aiohttp import web
from authority import Authority
from talkative import Peer, Talkative, run, told

from mdtool.capture import link as link_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.client import Way, through, way
from mdtool.capture.options import RecorderEvent
from mdtool.storage.store import Store
from mdtool.venues.venue import HttpRequest


class Fetched(Talkative):
    def snapshot_request(self, symbol, stream=None):
        return HttpRequest("GET", "/snapshot")


class Proxy:
    """Answers CONNECT with `answer`; "" joins both ends, None says nothing. In a thread of its own: it is another
    program."""

    def __init__(self, answer=""):
        self.answer = answer
        self.asked = []
        self._held = []
        self.port = 0
        self._ready = threading.Event()

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve, daemon=True).start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _serve(self):
        async def begin():
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            return server

        server = self._loop.run_until_complete(begin())
        self._loop.run_forever()
        server.close()

    async def _connected(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.asked.append(head[0])
        self.headers = head[1:]
        self._held.append(writer)  # else Python closes it, from 3.13 on
        if self.answer is None:
            return
        if self.answer:
            writer.write(f"HTTP/1.1 {self.answer}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, port = head[0].split()[1].rsplit(":", 1)
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source, target):
        try:
            while data := await source.read(65536):
                target.write(data)
        except OSError:
            pass
        target.close()


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.02)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


async def books(peer, number, socket):
    await socket.send_str("book [7, false]")


def recorded(store, authority, condition, talk=None, venue=None):
    peer = Peer(books, lambda request: web.Response(body=b"book [6, true]"))
    run(
        store, venue or Fetched(), peer, lambda: condition(peer.recorder.status), talk,
        tls=authority.server(), host="localhost", ca=authority.certificate,
    )  # fmt: skip
    return peer


def both(status):
    return status.records and status.snapshots


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_websocket_and_rest_go_through_the_proxy(store, authority, environment, name):
    with Proxy() as proxy:
        environment.setenv(name, proxy.url.replace("//", "//me:s%40cret@"))
        peer = recorded(store, authority, both)
    port = peer.url.rpartition(":")[2].removesuffix("/ws")
    assert set(proxy.asked) == {f"CONNECT localhost:{port} HTTP/1.1"}
    assert len(proxy.asked) == 2
    secret = base64.b64encode(b"me:s@cret").decode()
    assert f"Proxy-Authorization: Basic {secret}" in proxy.headers
    assert b"book [7, false]" in [payload for _, _, payload in told(store, "A_B")]


def test_what_needs_no_proxy_has_none(store, authority, environment):
    with Proxy() as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url)
        environment.setenv("NO_PROXY", "example.com,localhost")
        recorded(store, authority, both)
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("403 Forbidden", "the proxy refuses: HTTP 403 Forbidden"),
        ("407 Proxy Authentication Required", "the proxy refuses: HTTP 407 Proxy Authentication Required"),
        (None, "no answer within 0.3 s"),
    ],
)
def test_a_proxy_that_refuses_or_hangs_is_named(store, authority, environment, answer, why):
    from mdtool.capture import failures

    environment.setattr(failures, "CONNECT_TIMEOUT", 0.3)
    environment.setattr(link_module, "CONNECT_TIMEOUT", 0.3)
    talk = []
    with Proxy(answer) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:secret@"))
        peer = recorded(store, authority, lambda status: status.failures, talk, Talkative())
    assert peer.connections == 0
    said = [text for event, text in talk if event is RecorderEvent.UNREACHABLE]
    assert said[0] == f"cannot reach {peer.url}: {why} (through the proxy {proxy.url}); trying again in 0.0 s"


def test_a_proxy_that_is_not_there_and_one_that_cannot_be_spoken_to(store, authority, environment, tmp_path):
    talk = []
    environment.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    peer = recorded(store, authority, lambda status: status.failures, talk, Talkative())
    assert talk[0][1] == (
        f"cannot reach {peer.url}: the proxy itself: Connection refused (through the proxy http://127.0.0.1:1); "
        "trying again in 0.0 s"
    )
    for given, shown in (
        ("socks5://me:secret@127.0.0.1:9", "'127.0.0.1:9'"),
        ("http://[::1", "'http://[::1'"),
        ("https://proxy:1", "'https://proxy:1'"),
    ):
        talk = []
        environment.setenv("HTTPS_PROXY", given)
        with Store.create(tmp_path / given.replace("/", "_")) as other:
            peer = recorded(other, authority, lambda status: status.failures, talk, Talkative())
        assert talk[0][1] == (
            f"cannot reach {peer.url}: HTTPS_PROXY is {shown}, expected http://host:port; trying again in 0.0 s"
        )


def test_which_proxy(environment):
    assert way("wss://a.example/x") == Way(None)
    environment.setenv("HTTP_PROXY", "plain:1")
    environment.setenv("HTTPS_PROXY", "http://secure:2")
    environment.setenv("NO_PROXY", ".inside.example,other.example:7")
    found = {url: str(way(url).proxy) for url in ("ws://a.example", "http://a.example", "wss://a.example/x")}
    assert found == {
        "ws://a.example": "http://plain:1", "http://a.example": "http://plain:1", "wss://a.example/x": "http://secure:2",
    }  # fmt: skip
    for url in ("wss://b.inside.example", "https://other.example:7/x"):
        assert way(url) == Way(None)
        assert through(url) == ""
    assert through("wss://a.example") == " (through the proxy http://secure:2)"
