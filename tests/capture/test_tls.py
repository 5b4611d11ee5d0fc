"""Certificates are verified, over real sockets: who is not who it says is not talked to, and the line says why."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aiohttp import web
from authority import Authority
from talkative import Peer, Talkative, run, told

from mdtool.capture.backoff import Backoff
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.errors import UsageError
from mdtool.model import Kind
from mdtool.service.assignment import assignment
from mdtool.storage.store import Store
from mdtool.venues import catalog
from mdtool.venues.venue import HttpRequest

TODO = "; where an authority of your own signed it, give its certificate with --ca FILE"


class Fetched(Talkative):
    def snapshot_request(self, symbol, stream=None):
        return HttpRequest("GET", "/snapshot")


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.02)


async def books(peer, number, socket):
    await socket.send_str("book [7, false]")


def test_an_authority_of_ones_own_is_trusted_for_websocket_and_rest(store, authority):
    peer = Peer(books, lambda request: web.Response(body=b"book [6, true]"))

    def done():
        return peer.recorder.status.snapshots and peer.recorder.status.records

    status = run(store, Fetched(), peer, done, tls=authority.server(), host="localhost", ca=authority.certificate)
    assert (status.failures, status.records) == (0, 1)
    assert peer.asked[0] == ("GET", "/snapshot")
    assert b"book [7, false]" in [payload for _, _, payload in told(store, "A_B")]


@pytest.mark.parametrize(
    ("server", "trusts", "why"),
    [
        (lambda by: by.server(), False, f"unable to get local issuer certificate{TODO}"),
        (lambda by: by.server(alone=True), True, f"self-signed certificate{TODO}"),
        (lambda by: by.server(began=timedelta(days=-9)), True, "certificate has expired"),
        (lambda by: by.server(began=timedelta(days=1)), True, "certificate is not yet valid"),
        (
            lambda by: by.server("elsewhere.example"),
            True,
            "Hostname mismatch, certificate is not valid for 'localhost'",
        ),
    ],
)
def test_who_is_not_who_it_says_is_not_talked_to(store, authority, server, trusts, why):
    talk, peer = [], Peer(books, lambda request: web.Response())
    ca = authority.certificate if trusts else None
    run(
        store, Fetched(), peer, lambda: peer.recorder.status.failures >= 1, talk,
        tls=server(authority), host="localhost", ca=ca,
    )  # fmt: skip
    assert (peer.connections, peer.asked) == (0, [])
    said = [text for event, text in talk if event is RecorderEvent.UNREACHABLE]
    assert said[0] == f"cannot reach {peer.url}: its certificate is not trusted: {why}; trying again in 0.0 s"


def test_who_speaks_no_tls_is_told_so(store):
    talk, peer = [], Peer(books, lambda request: web.Response())
    run(store, Talkative(), peer, lambda: peer.recorder.status.failures >= 1, talk, scheme="wss")
    said = [text for event, text in talk if event is RecorderEvent.UNREACHABLE]
    assert said[0].startswith(f"cannot reach {peer.url}: no TLS: ")
    assert said[0].endswith("; trying again in 0.0 s")


def test_what_began_encrypted_is_not_redirected_into_the_clear(store, authority):
    class Leading(Peer):
        async def websocket(self, request):
            return web.Response(status=302, headers={"Location": f"http://localhost:{request.url.port}/plain"})

    talk, peer = [], Leading(books, lambda request: web.Response())
    run(
        store, Talkative(), peer, lambda: peer.recorder.status.failures >= 1, talk,
        tls=authority.server(), host="localhost", ca=authority.certificate,
    )  # fmt: skip
    assert peer.asked == []
    there = peer.url.replace("wss://", "http://").replace("/ws", "/plain")
    assert talk[0][1] == (
        f"cannot reach {peer.url}: redirected to {there}, which is not encrypted: not followed; trying again in 0.0 s"
    )
    assert [kind for kind, _, _ in told(store)][-1] is Kind.END


def test_a_file_that_holds_no_certificate_is_one_line(tmp_path, authority):
    authority.server()
    (tmp_path / "empty.pem").write_bytes(b"")
    expected = "expected certificates in PEM: the ones of the authority that signs the venue's"
    for name, why in (
        ("none.pem", "No such file or directory"),
        ("empty.pem", "no certificate in it"),
        ("key.pem", "no certificate in it"),
        ("", "no certificate in it"),
    ):
        with pytest.raises(UsageError) as caught:
            record_options(catalog.get("sim"), ca=str(tmp_path / name))
        said = str(caught.value)
        assert said.startswith(f"CA file {tmp_path / name}: ")
        assert said.endswith(f", {expected}")
        assert name == "" or f": {why}, " in said


def test_a_recorder_of_its_own_process_is_given_both(tmp_path, authority):
    options = record_options(catalog.get("sim"), ca=authority.certificate, deflate=True)
    given = assignment("one", str(tmp_path), options).options()
    assert (given.ca, given.deflate) == (authority.certificate, True)
    assert not assignment("one", str(tmp_path), options).is_part_of(
        assignment("one", str(tmp_path), record_options(catalog.get("sim")))
    )
