"""Venues and streams of which no capture is at hand: messages in their documented form, imported, audited, disturbed
one at a time, served as the venue and recorded back."""

from __future__ import annotations

import asyncio
import gzip
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from recording import Attended, record_all

from mdtool.audit import audit_store
from mdtool.capture.recorder import Recorder, record_options
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.interop.importer import import_files
from mdtool.model import SESSION_SYMBOL, Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

START_NS = 1_700_000_000_000_000_000
OWN = ("session", "snapshot", "ping", "other", "bootstrap")


def bybit(native: str) -> list[str]:
    """Forty changes of a book behind the whole of it, its best quote with a repeat after quiet, and trades."""
    lines = []
    ms = START_NS // 10**6
    for n in range(41):
        kind = "delta" if n else "snapshot"
        lines.append(
            f'{{"topic":"orderbook.50.{native}","type":"{kind}","ts":{ms + 20 * n},"data":{{"s":"{native}",'
            f'"b":[["100.{n % 7}0","{n}.5"]],"a":[["101.{n % 5}0","{n % 3}"]],"u":{500 + n},"seq":{9000 + 3 * n}}},'
            f'"cts":{ms + 20 * n - 1}}}'
        )
        if n % 4 == 0:
            number = 70 + n // 8  # each comes twice
            lines.append(
                f'{{"topic":"orderbook.1.{native}","type":"snapshot","ts":{ms + 20 * n + 1},"data":{{"s":"{native}",'
                f'"b":[["100.50","1"]],"a":[["101.00","2"]],"u":{number},"seq":{9000 + 3 * n}}},"cts":{ms + 20 * n}}}'
            )
        if n % 5 == 0:
            lines.append(
                f'{{"topic":"publicTrade.{native}","type":"snapshot","ts":{ms + 20 * n},"data":[{{'
                f'"T":{ms + 20 * n - 2},"s":"{native}","S":"Buy","v":"0.001","p":"100.50","L":"PlusTick",'
                f'"i":"20f43950-d8dd-5b31-9112-a178eb60{n:04x}","BT":false}}]}}'
            )
    return lines


def coinm(native: str) -> list[str]:
    """Forty updates with a whole book whose id falls between two of them, quotes, and aggregates of trades."""
    lines = []
    ms = START_NS // 10**6
    low = native.lower()
    for n in range(40):
        last = 1_000 + 10 * n
        lines.append(
            f'{{"stream":"{low}@depth@100ms","data":{{"e":"depthUpdate","E":{ms + 100 * n},"T":{ms + 100 * n - 3},'
            f'"s":"{native}","ps":"BTCUSD","U":{last - 4},"u":{last},"pu":{last - 10},'
            f'"b":[["100.{n % 7}","{n}"]],"a":[]}}}}'
        )
        lines.append(
            f'{{"stream":"{low}@bookTicker","data":{{"e":"bookTicker","u":{last + 5},"s":"{native}","ps":"BTCUSD",'
            f'"b":"100.1","B":"{n}","a":"101.2","A":"5","T":{ms + 100 * n},"E":{ms + 100 * n}}}}}'
        )
        if n % 3 == 0:
            lines.append(
                f'{{"stream":"{low}@aggTrade","data":{{"e":"aggTrade","E":{ms + 100 * n},"a":{700 + n // 3},'
                f'"s":"{native}","p":"100.1","q":"10","f":1,"l":2,"T":{ms + 100 * n},"m":true}}}}'
            )
        if n == 10:  # pu of the eleventh is 1090: nothing happened to this contract between the two ids
            lines.append(
                f'{{"lastUpdateId":1092,"E":{ms},"T":{ms},"symbol":"{native}","pair":"BTCUSD",'
                f'"bids":[["100.0","7"]],"asks":[["101.2","5"]]}}'
            )
    return lines


def deribit(native: str) -> list[str]:
    """Forty changes of a book behind the whole of it, quotes, and trades of which one closes a liquidated position."""
    lines = []
    ms = START_NS // 10**6

    def notice(channel: str, data: str) -> None:
        head = '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
        lines.append(f'{head}{channel}","data":{data}}}}}')

    for n in range(41):
        time, last = ms + 100 * n, 5_000 + 13 * n
        kind, prev = ("change", f'"prev_change_id":{last - 13},') if n else ("snapshot", "")
        step = f'["delete",100.{n % 7},0.0]' if n % 6 == 5 else f'["new",100.{n % 7},{n}.0]'
        notice(
            f"book.{native}.100ms",
            f'{{"type":"{kind}","timestamp":{time},{prev}"instrument_name":"{native}","change_id":{last},'
            f'"bids":[{step}],"asks":[]}}',
        )
        if n % 3 == 0:
            notice(
                f"quote.{native}",
                f'{{"timestamp":{time},"instrument_name":"{native}","best_bid_price":100.5,"best_bid_amount":{n}.0,'
                f'"best_ask_price":null,"best_ask_amount":0.0}}',
            )
        if n % 8 == 0:
            forced = '"liquidation":"T",' if n == 16 else ""
            notice(
                f"trades.{native}.100ms",
                f'[{{"trade_seq":{30 + n // 8},"trade_id":"{900 + n}","timestamp":{time},"tick_direction":2,'
                f'"price":100.5,{forced}"mark_price":100.4,"instrument_name":"{native}","index_price":100.3,"direction":"sell",'
                f'"amount":10.0}}]',
            )
    return lines


@dataclass(frozen=True)
class Made:
    venue: str
    symbol: str
    native: str
    make: Callable[[str], list[str]]
    book: str  # what marks a book's message
    verdicts: dict[str, dict[str, int]]
    broken: tuple[str, str]  # what is turned into what is no JSON

    def __str__(self) -> str:
        return self.venue


BYBIT = {
    "orderbook.50": {"apply": 41},
    "orderbook.1": {"apply": 6, "keepalive": 5},
    "publicTrade": {"apply": 0, "unverifiable": 9},
}
MADE = [
    Made("bybit", "BTC_USDT", "BTCUSDT", bybit, '"orderbook.50.', BYBIT, ('"b":', '"b",')),
    Made("bybit-linear", "BTC_USDC_251226", "BTC-26DEC25", bybit, '"orderbook.50.', BYBIT, ('"b":', '"b",')),
    Made("bybit-inverse", "BTC_USD_251226", "BTCUSDZ25", bybit, '"orderbook.50.', BYBIT, ('"b":', '"b",')),
    Made(
        "binance-coinm", "BTC_USD_251226", "BTCUSD_251226", coinm, "@depth",
        {"depth@100ms": {"apply": 40}, "aggTrade": {"apply": 14}, "bookTicker": {"apply": 40}}, ('"b":', '"b",'),
    ),
    Made(
        "deribit", "BTC_USD_PERP", "BTC-PERPETUAL", deribit, '"book.',
        {
            "book.100ms": {"apply": 41},
            "quote": {"apply": 0, "unverifiable": 14},
            "trades.100ms": {"apply": 6, "unverifiable": 1},  # the liquidation beside its trade has no number
        },
        ('"bids":', '"bids",'),
    ),
]  # fmt: skip
each = pytest.mark.parametrize("made", MADE, ids=str)


def imported(store: Store, made: Made, path, lines: list[str]):
    """The feeds' reports, of a capture of these lines."""
    text = "".join(f"{START_NS + 10**7 * number} {line}\n" for number, line in enumerate(lines))
    file = path / "made.hb.gz"
    file.write_bytes(gzip.compress(text.encode()))
    import_files(store, catalog.get(made.venue), [file])
    return {report.feed: report for report in audit_store(store, catalog.get, [feed.name for feed in store.feeds()])}


def findings(reports) -> dict[str, dict[str, int]]:
    return {name: dict(report.finding_counts) for name, report in reports.items() if report.finding_counts}


def books(made: Made, lines: list[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if made.book in line]


@each
def test_what_is_documented_is_clean(tmp_path, made):
    with Store.create(tmp_path / "store") as store:
        report = imported(store, made, tmp_path, made.make(made.native))[f"{made.venue}/{made.symbol}"]
        assert [finding.text for finding in report.findings] == []
        assert {s.stream: s.verdicts for s in report.streams if s.verdicts} == made.verdicts
        assert [note.kind for note in report.notes] == []


@each
def test_one_message_disturbed_is_reported_as_exactly_that(tmp_path, made):
    def removed(lines, at, after):
        del lines[at]

    def duplicated(lines, at, after):
        lines.insert(at, lines[at])

    def swapped(lines, at, after):
        lines[at], lines[after] = lines[after], lines[at]

    def broken(lines, at, after):
        lines[at] = lines[at].replace(*made.broken, 1)

    expected = [
        (removed, {"gap": 1}),
        (duplicated, {"duplicate": 1}),
        (swapped, {"out_of_order": 1}),
        (broken, {"undecodable": 1, "gap": 1}),
    ]
    for number, (disturb, found) in enumerate(expected):
        lines = made.make(made.native)
        at, after = books(made, lines)[20:22]
        disturb(lines, at, after)
        with Store.create(tmp_path / f"store{number}") as store:
            reports = imported(store, made, tmp_path, lines)
            assert findings(reports) == {f"{made.venue}/{made.symbol}": found}, disturb.__name__


def received(store: Store, name: str):
    by_stream, whole = defaultdict(list), []
    with store.reader(name) as reader:
        for record in reader.records():
            stream = reader.stream_name(record.stream)
            if record.kind == Kind.DATA and stream not in OWN:
                by_stream[stream].append(record.payload)
                whole.append(record.payload)
    return dict(by_stream), whole


@each
def test_what_is_served_is_recorded_back_byte_for_byte(tmp_path, made):
    venue = catalog.get(made.venue)
    name = f"{made.venue}/{made.symbol}"
    with Store.create(tmp_path / "original") as original, Store.create(tmp_path / "copy") as copy:
        imported(original, made, tmp_path, made.make(made.native))

        async def main():
            feeds = [feed.name for feed in original.feeds() if feed.symbol != SESSION_SYMBOL]
            source = Attended(original, feeds, speed=None)
            async with Server(source, protocol_for(made.venue)) as server:
                options = record_options(venue, (made.symbol,), ws_url=server.url, rest_url=server.rest, sync="none")
                recorder = Recorder(copy, options, lambda event, text: None)
                return await record_all(recorder, server)

        asyncio.run(main())
        assert received(copy, name) == received(original, name)
        (report,) = audit_store(copy, catalog.get, [name])
        assert {s.stream: s.verdicts for s in report.streams if s.verdicts} == made.verdicts
        with copy.reader(f"{made.venue}/{SESSION_SYMBOL}") as reader:
            sent = [record.payload.decode() for record in reader.records() if record.kind == Kind.SENT]
        (connection,) = venue.plan((made.symbol,), venue.default_streams)
        asked = [frame for frame in sent if frame in connection.send]
        assert tuple(asked[: len(connection.send)]) == connection.send
        if made.venue == "deribit":  # the venue asked for a sign of life, and cuts who gives none
            assert '{"jsonrpc":"2.0","id":9999,"method":"public/test","params":{}}' in sent
