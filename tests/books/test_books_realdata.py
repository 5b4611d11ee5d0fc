"""Chains and books of real captures. The expected counts are those of the captures' own README, and the agreement of
each rebuilt book with the bookTicker stream recorded beside it.

Before the snapshot the book is unknown, and levels beyond the snapshot's range stay unknown until they change: both are
why only the top is compared, and only once the book is SYNCED.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest

from mdtool.books import checks
from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, BookSync, Step, open_book
from mdtool.interop.pat import line_parser
from mdtool.model import Quote, Scale, Side, Trade
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict

pytestmark = pytest.mark.realdata

ETH = ("binance-usdm", "binance_usdm/ethusdt_20240808.hb.gz")
BTC = ("binance-usdm", "binance_usdm/btcusdt_20240808_head3000.hb.gz")
SPOT = ("binance", "binance/ethusdt_20240808_head3000.hb.gz")
BEFORE_MIDNIGHT = ("binance", "binance/ethusdt_20240808_tail1000.hb.gz")
AFTER_MIDNIGHT = ("binance", "binance/ethusdt_20240809_head1000.hb.gz")


def read(path):
    """(receive time, payload) of an .hb capture."""
    with gzip.open(path) as file:
        for line in file:
            recv_ns, payload = line.rstrip(b"\n").split(b" ", 1)
            yield int(recv_ns), payload


class Capture:
    """Every message of one capture, decoded, by stream and in order."""

    def __init__(self, realdata, venue, *names):
        self.venue = catalog.get(venue)
        self.messages = []
        decoders = {}
        for name in names:
            for recv_ns, payload in read(realdata / name):
                place = self.venue.place(self.venue.route(payload))
                stream = place.stream
                if place.symbol is None:
                    assert payload.startswith(b'{"lastUpdateId"')
                    stream = "snapshot"
                decode = decoders.setdefault(stream, self.venue.decoder(stream))
                (message,) = decode(payload)
                self.messages.append((recv_ns, stream, message))
        self.book_stream = next(stream for stream in decoders if self.venue.is_book(stream))

    def of(self, stream):
        return [message for _, name, message in self.messages if name == stream]

    def judged(self, stream, messages=None):
        rule = self.venue.rule(stream)
        return [rule.judge(message) for message in (self.of(stream) if messages is None else messages)]


@pytest.fixture(scope="module")
def eth(realdata):
    return Capture(realdata, *ETH)


@pytest.mark.parametrize(
    ("files", "counts"),
    [
        (ETH, {"depth@0ms": 6586, "bookTicker": 53992, "trade": 14076, "snapshot": 1}),
        (BTC, {"depth@0ms": 234, "bookTicker": 2296, "trade": 469, "snapshot": 1}),
        (SPOT, {"depth@100ms": 280, "bookTicker": 2269, "trade": 450, "snapshot": 1}),
        ((*BEFORE_MIDNIGHT, AFTER_MIDNIGHT[1]), {"depth@100ms": 188, "bookTicker": 1429, "trade": 383}),
    ],
)
def test_every_chain_holds(realdata, files, counts):
    capture = Capture(realdata, *files)
    assert Counter(stream for _, stream, _ in capture.messages) == counts
    for stream in counts:
        if stream != "snapshot":
            assert Counter(capture.judged(stream)) == {Verdict.APPLY: counts[stream]}


@pytest.mark.parametrize(
    ("files", "applied", "coincide", "scale"),
    [
        (ETH, 6582, 551, Scale(-2, -3)),
        (BTC, 231, 23, Scale(-1, -3)),
        (SPOT, 279, 46, Scale(-2, -4)),
    ],
)
def test_the_book_is_the_quotes_wherever_their_ids_coincide(realdata, files, applied, coincide, scale):
    capture = Capture(realdata, *files)
    quotes = {message.seq: message for _, _, message in capture.messages if isinstance(message, Quote)}
    sync = BookSync(capture.venue.rule(capture.book_stream), L2Book(), LevelParser())
    compared = steps = 0
    for recv_ns, stream, message in capture.messages:
        if stream not in (capture.book_stream, "snapshot"):
            continue
        steps += sync.on_message(message, recv_ns).applied
        if sync.state is not BookState.SYNCED:
            continue
        assert checks.crossed(sync.book) == []
        if stream != "snapshot" and message.last_seq in quotes:
            compared += 1
            assert checks.top(sync.book, quotes[message.last_seq]) == []
    assert (sync.state, sync.gaps, steps, compared, sync.book.scale) == (BookState.SYNCED, 0, applied, coincide, scale)


@pytest.mark.parametrize("at", [1, 40, 3000, 6583])
def test_one_disturbed_update_gives_its_verdict_and_no_other(eth, at):
    chain = eth.of("depth@0ms")
    assert odd(eth.judged("depth@0ms", chain[:at] + chain[at + 1 :])) == {at: Verdict.GAP}
    assert odd(eth.judged("depth@0ms", chain[: at + 1] + chain[at:])) == {at + 1: Verdict.STALE}
    swapped = [*chain[:at], chain[at + 1], chain[at], *chain[at + 2 :]]
    assert odd(eth.judged("depth@0ms", swapped)) == {at: Verdict.GAP, at + 1: Verdict.OUT_OF_ORDER}


@pytest.mark.parametrize("at", [1, 7000, 14073])
def test_one_disturbed_trade_gives_its_verdict_and_no_other(eth, at):
    chain = eth.of("trade")
    assert all(isinstance(message, Trade) for message in chain)
    assert odd(eth.judged("trade", chain[:at] + chain[at + 1 :])) == {at: Verdict.GAP}
    assert odd(eth.judged("trade", chain[: at + 1] + chain[at:])) == {at + 1: Verdict.STALE}
    swapped = [*chain[:at], chain[at + 1], chain[at], *chain[at + 2 :]]
    assert odd(eth.judged("trade", swapped)) == {at: Verdict.GAP, at + 1: Verdict.OUT_OF_ORDER}


def odd(verdicts):
    return {index: verdict for index, verdict in enumerate(verdicts) if verdict is not Verdict.APPLY}


def test_spot_of_2021_four_symbols_and_their_snapshots(realdata):
    """depth@100ms 173/173 contiguous, every snapshot bridges (4/4), aggTrade ids follow."""
    venue = catalog.get("binance")
    folder = realdata / "binance"
    syncs, rules, verdicts = {}, {}, Counter()
    with gzip.open(folder / "2021-10-11.http.cf.gz") as file:
        snapshots = {}
        for line in file:
            url, arrow, rest = line.rstrip(b"\n").partition(b" -> ")
            if not arrow:
                continue
            symbol = venue.canonical(url.split(b"symbol=")[1].split(b"&")[0].decode())
            (snapshots[symbol],) = venue.decoder("snapshot")(rest.split(b": ", 1)[1])
    with gzip.open(folder / "2021-10-11.ws.cf.gz") as file:
        for line in file:
            stamp, colon, payload = line.rstrip(b"\n").partition(b": ")
            if not colon or not stamp.replace(b".", b"").isdigit():
                continue
            place = venue.place(venue.route(payload))
            if place.symbol is None or (rule := rules.setdefault(place, venue.rule(place.stream))) is None:
                continue
            (message,) = venue.decoder(place.stream)(payload)
            verdict = rule.judge(message)
            if verdict is not Verdict.APPLY:
                verdicts[place.stream, verdict] += 1
            verdicts[place.stream] += 1
            if venue.is_book(place.stream):
                if place.symbol not in syncs:
                    syncs[place.symbol] = BookSync(venue.rule(place.stream), L2Book(), LevelParser())
                syncs[place.symbol].on_message(message, 0)
    assert verdicts["depth@100ms"] == 173 + len(syncs)
    assert set(verdicts) <= {"depth@100ms", "bookTicker", "aggTrade"}
    assert set(syncs) == set(snapshots) and len(syncs) == 4
    for symbol, sync in syncs.items():
        step = sync.on_message(snapshots[symbol], 0)
        assert (symbol, step.verdict, step.state) == (symbol, Verdict.APPLY, BookState.SYNCED)
        assert checks.crossed(sync.book) == []


def test_the_orders_of_coinbase_end_in_the_expected_book(realdata):
    """Every message of the full channel after a level-3 book, by way of the order book: the levels that must result,
    and a queue at each whose sizes are the level's."""
    venue = catalog.get("coinbase")
    parse_line, router = line_parser(), venue.router()
    sync = open_book(venue, "full")
    decode = venue.decoder("full")
    steps = Counter()
    with gzip.open(realdata / "coinbase/2016-03-12_full_l3.pat.gz") as file:
        for line in file:
            item = parse_line(line.rstrip(b"\n"))
            assert venue.place(router.route(item.payload)).stream == "full"
            for message in decode(item.payload):
                if not isinstance(message, Trade):
                    steps[sync.on_message(message, item.recv_ns)._replace(state=None)] += 1
    assert steps == {Step(Verdict.APPLY, None, 1, False): 9485}
    assert (sync.state, sync.gaps, len(sync.book), checks.crossed(sync.book)) == (BookState.SYNCED, 0, 7112, [])
    expected = json.loads(
        (realdata / "coinbase/2016-03-12_full_l3.expected_book.json").read_text(), parse_float=Decimal
    )
    price_exp, size_exp = sync.book.scale
    for levels, want in ((sync.book.bids(50), expected["bids"]), (sync.book.asks(50), expected["asks"])):
        shown = [(Decimal(price).scaleb(price_exp), Decimal(size).scaleb(size_exp)) for price, size in levels]
        assert shown == [(Decimal(price), Decimal(size)) for price, size in want]
    for side in (Side.BID, Side.ASK):
        for price, size in sync.book.bids() if side is Side.BID else sync.book.asks():
            ahead = 0
            for number, (order_id, resting) in enumerate(sync.book.queue(side, price)):
                assert sync.book.order(order_id) == (side, price, resting)
                assert sync.book.ahead(order_id) == (number, ahead)
                ahead += resting
            assert ahead == size
