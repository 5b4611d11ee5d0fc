"""Every venue's emulated session under whatever a client may send: one reaction, no exception, no foreign stream."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.exchange.catalog import PROTOCOLS, protocol_for
from mdtool.exchange.protocol import Answer, Reaction
from mdtool.exchange.source import Instrument
from mdtool.model import Scale
from mdtool.venues import catalog

each = pytest.mark.parametrize("name", sorted(PROTOCOLS))
WORDS = (
    "subscribe unsubscribe SUBSCRIBE UNSUBSCRIBE ping conf public/subscribe bts:subscribe method event op args params "
    "channel symbol pair data id type topic book trades depth subscription chanId flags"
)
words = st.sampled_from(WORDS.split())
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20), words),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


class Quiet:
    """A source with two instruments and nothing to say."""

    recorded = False

    def __init__(self, name):
        venue = catalog.get(name)
        self.published = venue.default_streams
        self.instruments = tuple(
            Instrument(symbol, venue.native(symbol), Scale(-2, -2)) for symbol in venue.default_symbols[:2]
        )

    def listened(self):
        pass

    def depth(self, symbol, limit):
        return None

    def lists(self):
        return {}

    def first(self, symbol, stream):
        return None

    def whole(self, symbol, stream):
        return None

    def streams(self, symbol):
        return self.published

    def now_ms(self):
        return 1


def opened(name):
    """Protocol, session and connection of the venue's own plan."""
    venue = catalog.get(name)
    source = Quiet(name)
    protocol = protocol_for(name)
    protocol.attach(source, "ws://127.0.0.1:1")
    plan = venue.plan([instrument.symbol for instrument in source.instruments], venue.default_streams)
    path, query = plan[0].path or "/", {}
    if plan[0].bootstrap is not None:
        told = protocol.rest(plan[0].bootstrap.method, plan[0].bootstrap.path, {}, source)
        parts = urlsplit(venue.endpoint(plan[0], told.body).url)
        path, query = parts.path or "/", dict(parse_qsl(parts.query))
    session = protocol.open(path, query)
    assert not isinstance(session, Answer), (name, path)
    return protocol, session, plan[0]


@each
def test_the_recorders_own_frames_are_taken(name):
    """What the adapter sends is what the protocol subscribes, under the names its streams have."""
    protocol, session, connection = opened(name)
    session.opened()
    subscribed = []
    for number, frame in enumerate(connection.send):
        reaction = session.on_text(frame, number * 10**9)
        assert reaction.close is None, frame
        subscribed += reaction.subscribed
    venue = catalog.get(name)
    names = {
        protocol.stream_name(instrument, stream)
        for instrument in Quiet(name).instruments
        for stream in venue.default_streams
        if instrument.symbol in connection.symbols
    }
    assert set(subscribed) and set(subscribed) & names
    if connection.heartbeat is not None:
        assert session.on_text(connection.heartbeat.frame, 10**12).close is None


@each
@settings(max_examples=60)
@given(st.lists(st.one_of(json_values.map(json.dumps), st.text(max_size=40)), max_size=6))
def test_anything_a_client_sends_has_a_reaction(name, texts):
    _, session, _ = opened(name)
    assert isinstance(session.opened(), Reaction)
    for number, text in enumerate(texts):
        reaction = session.on_text(text, number * 10**9)
        assert isinstance(reaction, Reaction)
        assert all(isinstance(reply, bytes) for reply in reaction.replies)
        assert all(isinstance(wire, str) for wire in (*reaction.subscribed, *reaction.unsubscribed))
        if reaction.close is not None:
            break
    assert isinstance(session.on_control(10**12), Reaction)
    assert isinstance(session.on_binary(10**12), Reaction)


@each
@settings(max_examples=40)
@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.text(max_size=40),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8)),
)
def test_any_request_has_an_answer(name, method, path, query):
    protocol, _, _ = opened(name)
    answer = protocol.rest(method, "/" + path, query, protocol.source if hasattr(protocol, "source") else Quiet(name))
    assert isinstance(answer, Answer) and 200 <= answer.status < 600
    assert not isinstance(protocol.open("/no such path " + path, query), type(None))
