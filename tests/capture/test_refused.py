"""A subscription is acknowledged, refused or unanswered: at each venue in its own words, and none of it in silence."""

from __future__ import annotations

import asyncio
import json

import pytest
from patience import until
from recording import record_until
from talkative import Peer, Talkative, run, told

from mdtool.audit import audit_store
from mdtool.capture import subscriptions
from mdtool.capture.recorder import Recorder, RecorderEvent, record_options
from mdtool.errors import ConnectError
from mdtool.exchange import samples
from mdtool.exchange.catalog import PROTOCOLS, protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.source import Instrument
from mdtool.model import Kind, Scale
from mdtool.storage.store import Store
from mdtool.venues import catalog, subscribing
from mdtool.venues.subscribing import Conversation, Outcome, State
from mdtool.venues.venue import Acknowledged, Refused, Request, Wanted

EACH = sorted(PROTOCOLS)
GOOD = {
    "binance-coinm": "ETH_USD_PERP",
    "bybit-inverse": "ETH_USD",
    "deribit": "ETH_USD_PERP",
    "hyperliquid": "ETH_USD",
}
BAD = {"binance-coinm": "XYZ_USD_PERP", "bybit-inverse": "XYZ_USD", "deribit": "XYZ_USD_PERP", "hyperliquid": "XYZ_USD"}
NUMBERS = "Please use the correct URL, channel and parameters referring to API document."
BINANCE = ("Invalid request: invalid stream",) * 2
BYBIT = tuple(f"error:handler not found,topic:{stream}.{{native}}" for stream in ("orderbook.50", "publicTrade"))
WORDS = {  # of the book, of the trades
    "binance": BINANCE,
    "binance-coinm": BINANCE,
    "binance-usdm": BINANCE,
    "bitfinex": ("symbol: invalid",) * 2,
    "bitget": tuple(
        f"instType:SPOT,channel:{name},instId:{{native}},precision:null doesn't exist" for name in ("books", "trade")
    ),
    "bitstamp": ("Bad subscription string.",) * 2,
    "bybit": BYBIT,
    "bybit-inverse": BYBIT,
    "bybit-linear": BYBIT,
    "coinbase": ("Failed to subscribe: {native} is not a valid product",) * 2,
    "coinbase-advanced": ("invalid product: {native}",) * 2,
    "deribit": ("the answer leaves it out: there is no such channel",) * 2,
    "gate": ("unknown currency pair {native}",) * 2,
    "gate-futures": ("unknown currency pair {native}",) * 2,
    "hyperliquid": tuple(f'Invalid subscription {{{{"type":"{kind}","coin":"XYZ"}}}}' for kind in ("l2Book", "trades")),
    "kraken": ("Currency pair not supported {native}",) * 2,
    "kucoin": tuple(f"topic /market/{topic}:{{native}} is not found" for topic in ("level2", "match")),
    "okx": tuple(
        f"Wrong URL or channel:{name},instId:{{native}} doesn't exist. {NUMBERS}" for name in ("books", "trades")
    ),
    "sim": BINANCE,
}


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


class OneMarket:
    """A source of one instrument, whose book speaks to whoever listens."""

    recorded = True

    def __init__(self, name, symbol, streams):
        venue = catalog.get(name)
        native = venue.native(symbol)
        sample = venue.native("ETH_USDT") if name not in GOOD else {"binance-coinm": "ETHUSDT"}.get(name, native)
        sample = "ETHUSDT" if name == "bybit-inverse" else sample
        self.instruments = (Instrument(symbol, native, Scale(-2, -3)),)
        self.published = streams
        self.payload = next(samples.updates(name, 1)).replace(sample.encode(), native.encode())

    async def run(self, outlet):
        (instrument,) = self.instruments
        while True:
            if outlet.listeners(instrument.symbol, self.published[0]):
                outlet.publish(instrument.symbol, self.published[0], self.payload)
            await asyncio.sleep(0.01)

    def listened(self):
        pass

    def streams(self, symbol):
        return self.published

    def depth(self, symbol, limit):
        return None

    def orders(self, symbol):
        return None

    def lists(self):
        return {}

    def first(self, symbol, stream):
        return self.payload if stream == self.published[0] else None

    def whole(self, symbol, stream):
        return None

    def now_ms(self):
        return 5_000


def notes(store, feed, *words):
    with store.reader(feed) as reader:
        found = [json.loads(one.payload) for one in reader.records() if one.kind == Kind.NOTE]
    return [note for note in found if note["note"] in words]


def data(store, feed, stream):
    with store.reader(feed) as reader:
        return [
            one.payload
            for one in reader.records()
            if one.kind == Kind.DATA and reader.stream_name(one.stream) == stream
        ]


def test_every_venue_is_asked():
    assert set(EACH) == set(catalog.VENUES) == set(WORDS)


@pytest.mark.parametrize("name", EACH)
def test_a_symbol_that_is_not_there_is_named_and_costs_the_others_nothing(store, name):
    venue = catalog.get(name)
    good, bad = GOOD.get(name, "ETH_USDT"), BAD.get(name, "XYZ_USDT")
    book = samples.SAMPLES[name].stream
    streams = (book, venue.trade_streams[0])
    talk = []

    async def main():
        source = OneMarket(name, good, streams)
        async with Server(source, protocol_for(name)) as server:
            options = record_options(
                venue, (bad, good), streams=streams, ws_url=server.url, rest_url=server.rest, sync="none"
            )
            recorder = Recorder(store, options, lambda event, text: talk.append((event, text)))
            status = recorder.status

            def done():
                return (status.acknowledged, status.refused) == (2, 2) and data(store, f"{name}/{good}", placed[0])

            await record_until(recorder, done)
            return source.payload, status

    asked = [venue.asks(frame) for connection in venue.plan((good,), streams) for frame in connection.send]
    placed = list(dict.fromkeys(wanted.placed for request in asked if request for wanted in request.wanted))
    payload, status = asyncio.run(main())
    assert (status.acknowledged, status.refused, status.unanswered, status.undecodable) == (2, 2, 0, 0)
    recorded = data(store, f"{name}/{good}", placed[0])
    assert (len(set(recorded)) == 1 and venue.native(good).lower().encode() in payload.lower()) or name == "bitfinex"
    why = [word.format(native=venue.native(bad)) for word in WORDS[name]]
    lines = [text for event, text in talk if event is RecorderEvent.REFUSED]
    assert sorted(lines) == sorted(
        f"{bad} {stream}: refused by the venue: {word}" for stream, word in zip(streams, why, strict=True)
    )
    refused = [
        {"note": "refused", "session": 1, "symbol": bad, "streams": [stream], "why": word}
        for stream, word in zip(placed, why, strict=True)
    ]
    for feed in (f"{name}/{bad}", f"{name}/_session"):
        assert sorted(notes(store, feed, "refused"), key=str) == sorted(refused, key=str)
    assert notes(store, f"{name}/{good}", "refused", "unanswered") == []
    for symbol in (good, bad):
        plan = {"note": "plan", "venue": name, "streams": placed}
        assert notes(store, f"{name}/{symbol}", "plan") == [plan]
    (report,) = audit_store(store, catalog.get, [f"{name}/{bad}"])
    assert [(one.kind, one.stream) for one in report.findings if one.kind == "absent"] == [("absent", placed[0])]
    (report,) = audit_store(store, catalog.get, [f"{name}/{good}"])
    assert "absent" not in report.finding_counts
    assert [(one.kind, one.stream) for one in report.notes if one.kind == "silent"] == [("silent", placed[1])]


def test_with_fail_fast_a_refusal_ends_it(store):
    async def main():
        async with Server(OneMarket("okx", "ETH_USDT", ("books",)), protocol_for("okx")) as server:
            options = record_options(
                catalog.get("okx"), ("XYZ_USDT",), streams=("books",), ws_url=server.url, sync="none", fail_fast=True
            )
            await Recorder(store, options, lambda event, text: None).run()

    with pytest.raises(ConnectError, match=r"^okx: XYZ_USDT books: refused by the venue: Wrong URL or channel:books"):
        asyncio.run(main())
    assert len(notes(store, "okx/_session", "refused")) == 1


# -- what a venue may do -----------------------------------------------------------------------------------------------


class Asked(Talkative):
    """Its answers are what a test sends, of which "yes" and "no" are understood."""

    def asks(self, frame):
        return Request((Wanted("A_B", "book", "a"), Wanted("A_B", "trade", "t"))) if frame == "subscribe" else None

    def answer(self, payload):
        word, _, topic = payload.decode().partition(" ")
        topics = (topic,) if topic else None
        return {"yes": Acknowledged(topics), "no": Refused("not here", topics)}.get(word)


def test_what_is_not_answered_in_time_and_what_is_acknowledged_and_silent_is_told_once(store, monkeypatch):
    monkeypatch.setattr(subscribing, "ANSWER_TIMEOUT", 0.0)
    monkeypatch.setattr(subscriptions, "ANSWER_TIMEOUT", 0.0)
    monkeypatch.setattr(subscriptions, "SILENCE", 0.0)
    said = []

    async def talk(peer, number, socket):
        await until(lambda: peer.heard)
        await socket.send_str("yes a")
        await until(lambda: any(event is RecorderEvent.SILENT for event, _ in said))
        await socket.send_str("yes t")  # late, and it counts
        await asyncio.sleep(10_000)

    status = run(store, Asked(), peer := Peer(talk), lambda: peer.recorder.status.acknowledged == 2, said)
    assert (status.acknowledged, status.refused) == (2, 0)
    lines = [text for event, text in said if event in (RecorderEvent.UNANSWERED, RecorderEvent.SILENT)]
    assert lines[-1] == "acknowledged 0 s ago, and no message has come of A_B book"
    assert lines[:-1] in (
        ["no answer for 0 s to the subscription of A_B trade"],
        ["no answer for 0 s to the subscription of A_B book, A_B trade"],
    )
    kept = [json.loads(payload) for kind, _, payload in told(store, "A_B") if kind is Kind.NOTE]
    assert {"note": "silent", "session": 1, "streams": ["book"]} in kept
    assert [note["note"] for note in kept].count("unanswered") == 1


@pytest.mark.parametrize("where", ["asks", "answer"])
def test_an_adapter_that_fails_at_its_requests_and_answers_records_all_the_same(store, where):
    class Failing(Asked):
        pass

    setattr(Failing, where, lambda self, what: 1 / 0)

    async def talk(peer, number, socket):
        await until(lambda: peer.heard)
        await socket.send_str("yes a")
        await socket.send_str("book [7, true]")
        await asyncio.sleep(10_000)

    peer = Peer(talk)
    run(store, Failing(), peer, lambda: (Kind.DATA, "book", b"book [7, true]") in told(store, "A_B"))
    assert (Kind.DATA, "session", b"yes a") in told(store)
    notes = [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.NOTE]
    (what,) = {note["what"] for note in notes if note["note"] == "undecodable"}
    assert what == {"asks": "cannot be told apart", "answer": "cannot be read as an answer"}[where]


def test_a_plan_is_said_again_by_each_connection(store):
    async def talk(peer, number, socket):
        await until(lambda: any(heard[0] == number for heard in peer.heard))
        await (socket.close() if number == 1 else asyncio.sleep(10_000))

    peer = Peer(talk)
    run(store, Asked(), peer, lambda: peer.connections == 2 and len(peer.heard) == 2)
    kept = [json.loads(payload) for kind, _, payload in told(store, "A_B") if kind is Kind.NOTE]
    assert kept == [{"note": "plan", "venue": "talkative", "streams": ["book", "trade"]}] * 2


# -- the conversation --------------------------------------------------------------------------------------------------


class Plain(Talkative):
    """Requests "N topic,topic" of streams "SYMBOL.stream", answered by number, by topics, or by neither."""

    def plan(self, symbols, streams):
        connection = super().plan(symbols, streams)[0]
        names = ",".join(f"{symbol}.{stream}" for symbol in symbols for stream in streams)
        return (type(connection)("/ws", ("hello", f"9 {names}"), tuple(symbols)),)

    def asks(self, frame):
        number, space, names = frame.partition(" ")
        wanted = [Wanted(*name.split("."), name) for name in names.split(",")] if space else []
        return Request(tuple(wanted), number) if space else None

    def answer(self, payload):
        word, number, topics = payload.decode().split(" ")
        named = tuple(topics.split(",")) if topics != "-" else None
        number = number if number != "-" else None
        return Acknowledged(named, number) if word == "yes" else Refused("no", named, number)


def conversation(*frames):
    made = Conversation(Plain())
    for at, frame in enumerate(frames):
        made.sent(frame, float(at))
    return made


def outcomes(heard):
    return [(one.wanted.topic, one.state.value, one.reason) for one in heard.outcomes]


def test_an_answer_is_to_its_number_to_its_topics_or_to_the_oldest():
    frames = ("hello", "1 A.b,A.t", "2 B.b,B.t", "3 C.b")
    talk = conversation(*frames)
    assert outcomes(talk.heard(b"yes 2 -")) == [("B.b", "acknowledged", ""), ("B.t", "acknowledged", "")]
    assert outcomes(talk.heard(b"yes - C.b,A.t,Z.z")) == [("A.t", "acknowledged", ""), ("C.b", "acknowledged", "")]
    assert talk.waiting
    assert outcomes(talk.heard(b"no - A.b")) == [("A.b", "refused", "no")]
    assert not talk.waiting and outcomes(talk.heard(b"no - -")) == outcomes(talk.heard(b"yes 7 -")) == []
    assert outcomes(conversation(*frames).heard(b"yes - -")) == [
        ("A.b", "acknowledged", ""),
        ("A.t", "acknowledged", ""),
    ]


def test_a_request_that_is_refused_whole_is_taken_apart_by_symbols_and_then_by_streams():
    talk = conversation("1 A.b,A.t,B.b,B.t")
    heard = talk.heard(b"no 1 -")
    assert heard == ((), ("9 A.b,A.t", "9 B.b,B.t"))
    for frame in heard.again:
        talk.sent(frame, 1.0)
    assert outcomes(talk.heard(b"yes 9 -")) == [("A.b", "acknowledged", ""), ("A.t", "acknowledged", "")]
    heard = talk.heard(b"no 9 -")
    assert heard == ((), ("9 B.b", "9 B.t"))
    for frame in heard.again:
        talk.sent(frame, 2.0)
    assert talk.heard(b"no 9 -") == ((Outcome(Wanted("B", "b", "B.b"), State.REFUSED, "no"),), ())
    assert outcomes(talk.heard(b"yes 9 -")) == [("B.t", "acknowledged", "")]
    assert not talk.waiting


def test_what_is_overdue_is_told_once_and_is_not_taken_for_what_is_answered_next():
    talk = conversation("1 A.b", "2 B.b")
    assert talk.overdue(subscribing.ANSWER_TIMEOUT - 0.5) == []
    assert talk.overdue(subscribing.ANSWER_TIMEOUT) == [Outcome(Wanted("A", "b", "A.b"), State.UNANSWERED)]
    assert talk.overdue(subscribing.ANSWER_TIMEOUT + 0.5) == []
    assert outcomes(talk.heard(b"yes - -")) == [("B.b", "acknowledged", "")]
    assert outcomes(talk.heard(b"yes - -")) == [("A.b", "acknowledged", "")]
