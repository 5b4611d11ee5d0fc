"""Coinbase's, Bitstamp's, Gate's and KuCoin's protocols: what the venue answers on the socket, and the books over REST,
which each adapter must read as the source has them."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.ladders import LevelParser
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.protocol import Answer
from mdtool.exchange.recorded import RecordedFeed
from mdtool.exchange.source import BookView, Instrument, OrdersView
from mdtool.interop.importer import import_files
from mdtool.model import UNKNOWN, Action, Scale, Side
from mdtool.storage.store import Store
from mdtool.venues import catalog

SYMBOL = "BTC_USD"
SCALE = Scale(-2, -3)
NS = 1_684_930_165_247_000_000
PATHS = {
    "coinbase-advanced": "/",
    "coinbase": "/",
    "bitstamp": "/",
    "gate": "/ws/v4/",
    "gate-futures": "/v4/ws/usdt",
    "kucoin": "/endpoint",
}
MORE = {"coinbase": ("full", "matches"), "kucoin": ("match",)}  # published besides what is recorded by default
BOOKS = [name for name in PATHS if not name.startswith("coinbase")]
each = pytest.mark.parametrize("name", PATHS)
VIEW = BookView(77, NS, SCALE, ((150, 2_000), (149, 5)), ((151, 1_500),))


class Stub:
    """A source of one instrument, and of a book where it is given one."""

    recorded = False

    def __init__(self, name, book):
        self.instruments = (Instrument(SYMBOL, catalog.get(name).native(SYMBOL), SCALE),)
        self.name = name
        self.asked = []
        self._book = book

    def depth(self, symbol, limit):
        self.asked.append((symbol, limit))
        return None if isinstance(self._book, OrdersView) else self._book

    def orders(self, symbol):
        return None if isinstance(self._book, BookView) else self._book

    def streams(self, symbol):
        return (*catalog.get(self.name).default_streams, *MORE.get(self.name, ()))

    def now_ms(self):
        return NS // 10**6


def served(name, book=None):
    protocol = protocol_for(name)
    protocol.attach(Stub(name, book), "ws://127.0.0.1:1")
    return protocol


def opened(name, path=None):
    return served(name).open(path or PATHS[name], {"token": "emulated"})


def say(session, request):
    """The reaction, its replies as objects."""
    reaction = session.on_text(request if isinstance(request, str) else json.dumps(request), 0)
    return [json.loads(reply) for reply in reaction.replies], reaction


def get(protocol, path):
    parts = urlsplit(path)
    return protocol.rest("GET", parts.path, dict(parse_qsl(parts.query)), protocol.source)


@each
def test_what_its_adapter_sends_is_accepted_and_answered_on_the_session(name):
    adapter, protocol = catalog.get(name), served(name)
    session = protocol.open(PATHS[name], {"token": "emulated"})
    assert all(adapter.place(adapter.router().route(reply)).stream == "session" for reply in session.opened().replies)
    (connection,) = adapter.plan([SYMBOL], adapter.default_streams)
    assert (connection.path or "/") in (PATHS[name], "/")
    subscribed = []
    for frame in (*connection.send, *([connection.heartbeat.frame] if connection.heartbeat else [])):
        reaction = say(session, frame)[1]
        assert reaction.replies and reaction.close is None
        for reply in reaction.replies:
            assert adapter.place(adapter.router().route(reply)).stream in ("session", "ping"), reply
        subscribed += reaction.subscribed
    (instrument,) = protocol.source.instruments
    wanted = [stream for stream in adapter.default_streams if stream != "heartbeats"]  # of the connection
    assert subscribed == [protocol.stream_name(instrument, stream) for stream in wanted]
    book = adapter.default_streams[0]
    changes = [say(session, frame)[1] for frame in adapter.resubscribe(SYMBOL, book)]
    wire = protocol.stream_name(instrument, book)
    assert [(change.unsubscribed, change.subscribed) for change in changes] == [([wire], []), ([], [wire])]


@each
def test_another_path_is_refused(name):
    assert isinstance(opened(name, "/else"), Answer)
    protocol = served(name)
    assert protocol.rest("GET", "/nothing", {}, protocol.source).status == 404


@each
@given(st.one_of(
    st.text(max_size=80),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9),
                 lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                     st.sampled_from(["type", "event", "channel", "channels", "product_ids", "data", "payload", "topic",
                                      "id", "response", "name"]),
                     inner | st.sampled_from(["subscribe", "bts:subscribe", "spot.trades", "futures.obu", "spot.ping",
                                              "/market/match:BTC-USD", "ping", "level2"]),
                     max_size=4),
                 max_leaves=8).map(json.dumps),
))  # fmt: skip
def test_nothing_a_client_says_breaks_a_session(name, text):
    reaction = opened(name).on_text(text, 0)
    for reply in reaction.replies:
        assert isinstance(json.loads(reply), dict)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("coinbase", {"type": "subscribe", "product_ids": ["NO-SUCH"], "channels": ["ticker"]}),
        ("coinbase", {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["nonsense"]}),
        ("coinbase", {"type": "subscribe", "product_ids": ["BTC-USD"]}),
        ("coinbase-advanced", {"type": "subscribe", "product_ids": ["NO-SUCH"], "channel": "level2"}),
        ("coinbase-advanced", {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "full"}),
        ("coinbase-advanced", {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "candles"}),
        ("coinbase-advanced", {"type": "subscribe", "channel": "level2"}),
        ("coinbase-advanced", {"type": "subscribe", "product_ids": "BTC-USD", "channel": "level2"}),
        ("coinbase-advanced", {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["level2"]}),
        ("bitstamp", {"event": "bts:subscribe", "data": {"channel": "live_trades_nosuch"}}),
        ("bitstamp", {"event": "bts:subscribe", "data": {"channel": "nonsense_btcusd"}}),
        ("bitstamp", {"event": "bts:subscribe"}),
        ("gate", {"channel": "spot.trades", "event": "subscribe", "payload": ["NO_SUCH"]}),
        ("gate", {"channel": "futures.trades", "event": "subscribe", "payload": ["BTC_USD"]}),
        ("gate", {"channel": "spot.order_book_update", "event": "subscribe", "payload": ["BTC_USD"]}),
        ("gate-futures", {"channel": "futures.obu", "event": "subscribe", "payload": ["BTC_USD"]}),
        ("kucoin", {"type": "subscribe", "topic": "/market/match:BTC-USD,NO-SUCH", "response": True}),
        ("kucoin", {"type": "subscribe", "topic": "match:BTC-USD", "response": True}),
    ],
)
def test_a_subscription_to_what_is_not_there_says_so(name, request_):
    replies, reaction = say(opened(name), request_)
    assert reaction.subscribed == []
    assert "error" in json.dumps(replies)


def test_coinbase_advanced_numbers_what_is_made_and_not_what_is_recorded():
    """One row of numbers a connection, answers included; a recorded frame goes out as it came in."""
    protocol = served("coinbase-advanced")
    unnumbered = b'{"channel":"l2_data","timestamp":"t","sequence_num":null,"events":[]}'
    kept = b'{"channel":"l2_data","timestamp":"t","sequence_num":7,"events":[]}'
    frames = []
    for session in (protocol.open("/", {}), protocol.open("/", {})):
        (answer,) = session.on_text('{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}', 0).replies
        frames.append([json.loads(session.sent(frame)).get("sequence_num") for frame in (answer, unnumbered, kept)])
    assert frames == [[0, 1, 7], [0, 1, 7]]
    protocol.source.recorded = True
    session = protocol.open("/", {})
    reaction = session.on_text('{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}', 0)
    assert reaction.subscribed == ["level2:BTC-USD"]
    assert [json.loads(session.sent(reply)) for reply in reaction.replies] == [
        {
            "channel": "subscriptions",
            "timestamp": "2023-05-24T12:09:25.247000Z",
            "events": [{"subscriptions": {"level2": ["BTC-USD"]}}],
        }
    ]
    assert session.sent(kept) == kept
    gone = session.on_text('{"type":"unsubscribe","channel":"level2"}', 0)
    assert gone.unsubscribed == ["level2:BTC-USD"]


def test_coinbase_lists_all_that_is_subscribed():
    session = opened("coinbase")
    say(session, {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["matches"]})
    (answer,), reaction = say(
        session, {"type": "subscribe", "channels": ["heartbeat", {"name": "full", "product_ids": ["BTC-USD"]}]}
    )
    assert reaction.subscribed == ["full:BTC-USD"]
    assert answer["channels"] == [
        {"name": "matches", "product_ids": ["BTC-USD"]},
        {"name": "full", "product_ids": ["BTC-USD"]},
    ]
    (answer,), reaction = say(session, {"type": "unsubscribe", "product_ids": ["BTC-USD"], "channels": ["matches"]})
    assert (reaction.unsubscribed, len(answer["channels"])) == (["matches:BTC-USD"], 1)


def test_kucoin_names_itself_as_server_and_asks_for_its_token():
    protocol = served("kucoin")
    adapter = catalog.get("kucoin")
    (connection,) = adapter.plan([SYMBOL], ["level2"])
    body = protocol.rest("POST", connection.bootstrap.path, {}, protocol.source).body
    endpoint = adapter.endpoint(connection, body)
    assert endpoint.url == "ws://127.0.0.1:1/endpoint?token=emulated"
    refused = protocol.open("/endpoint", {"token": "another"})
    assert isinstance(refused, Answer) and refused.status == 401
    (welcome,) = opened("kucoin").opened().replies
    assert json.loads(welcome)["type"] == "welcome"
    (pong,), _ = say(opened("kucoin"), json.loads(endpoint.heartbeat.frame))
    assert pong == {"id": "1", "type": "pong"}
    replies, reaction = say(opened("kucoin"), {"type": "subscribe", "topic": "/market/match:BTC-USD"})
    assert (replies, reaction.subscribed) == ([], ["/market/match:BTC-USD"])  # no ack was asked for


@pytest.mark.parametrize("name", BOOKS)
def test_the_book_over_rest_is_what_the_source_has(name):
    adapter, protocol = catalog.get(name), served(name, VIEW)
    answer = get(protocol, adapter.snapshot_request(SYMBOL).path)
    assert answer.status == 200
    (update,) = adapter.decoder("snapshot")(answer.body)
    ladders = LevelParser(SCALE).parse_update(update)
    assert ladders == (SCALE, [150, 149], [2_000, 5], [151], [1_500])
    assert update.snapshot and not update.in_stream
    assert (update.last_seq, update.venue_ns) == (UNKNOWN if name == "bitstamp" else 77, NS)


@pytest.mark.parametrize(("name", "stream", "ids"), [("coinbase", "full", "ab"), ("bitstamp", "live_orders", (8, 9))])
def test_the_book_by_order_over_rest_is_what_the_source_has(name, stream, ids):
    adapter = catalog.get(name)
    view = OrdersView(77, NS, SCALE, ((ids[0], 150, 2_000),), ((ids[1], 151, 5),))
    answer = get(served(name, view), adapter.snapshot_request(SYMBOL, stream).path)
    (update,) = adapter.decoder("snapshot")(answer.body)
    assert update.orders == (
        (Action.ADD, ids[0], Side.BID, "1.50", "2.000"),
        (Action.ADD, ids[1], Side.ASK, "1.51", "0.005"),
    )
    assert (update.snapshot, update.last_seq, update.venue_ns) == (True, UNKNOWN if name == "bitstamp" else 77, NS)
    assert get(served(name, VIEW), adapter.snapshot_request(SYMBOL, stream).path).status == 503


@pytest.mark.parametrize("name", [name for name in PATHS if name != "coinbase-advanced"])  # whose books are streamed
def test_a_recorded_book_is_given_as_it_was(name):
    adapter, protocol = catalog.get(name), served(name, b"as it was")
    request = adapter.snapshot_request(SYMBOL, "full" if name == "coinbase" else None)
    assert get(protocol, request.path).body == b"as it was"
    assert get(served(name), request.path).status == 503  # none is known yet
    elsewhere = request.path.replace(adapter.native(SYMBOL), adapter.native("NO_USD"))
    assert b"as it was" not in get(protocol, elsewhere).body


def test_gate_limits_levels():
    protocol = served("gate", VIEW)
    path = "/api/v4/spot/order_book?currency_pair=BTC_USD"
    assert get(protocol, f"{path}&limit=x").status == 400
    for asked, given_ in (("", 10), ("&limit=5", 5), ("&limit=5000", 1_000)):
        get(protocol, path + asked)
        assert protocol.source.asked[-1] == (SYMBOL, given_)
    assert "id" not in json.loads(get(protocol, path).body)


@pytest.mark.realdata
def test_the_orders_of_a_recorded_feed_as_of_where_it_plays(tmp_path, realdata):
    """A client that joins a recording of Coinbase's full channel in the middle gets the book of that moment."""
    adapter = catalog.get("coinbase")
    with Store.create(tmp_path / "store") as store:
        import_files(store, adapter, [realdata / "coinbase/2016-03-12_full_l3.pat.gz"])
        feed = RecordedFeed(store, "coinbase/BTC_USD", adapter)
        assert feed.orders() is None
        for record in feed.reader.records():
            feed.play(record.kind, record.flags, record.stream, record.payload, record.recv_ns, record.position)
        view = feed.orders()
        feed.close()
    assert (len(view.bids) + len(view.asks), view.last_id) == (7_112, 760639339)
    assert view.bids[0] == ("db7cdd73-5572-43fa-ba43-eaa4a9d749c6", 412_96000000, 1000000)  # at eight decimals
