"""Protocols that venues have given up, and captures still hold: told by a message's form, decoded or said not to be.

The messages are those of public captures of 2021, cut down to some levels; the checksums are computed here once more.
"""

from __future__ import annotations

import json
from itertools import chain, zip_longest
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mdtool.audit import audit_store
from mdtool.books.book import Book
from mdtool.books.sync import BookState
from mdtool.errors import WireError
from mdtool.interop.importer import import_files
from mdtool.model import UNKNOWN, BookUpdate, Side, Trade
from mdtool.storage.store import Store
from mdtool.venues import catalog
from mdtool.venues.venue import Place

T0 = 1_622_542_809_000_000_000


def row(price, side, size=None, id_=None):
    found = {"price": price, "symbol": "BTCUSD", "id": id_ or int(price.replace(".", "")) * 100, "side": side}
    return found if size is None else found | {"size": size}


def bybit(kind, data, seq, us, native="BTCUSD", topic="orderBookL2_25"):
    return json.dumps(
        {"topic": f"{topic}.{native}", "type": kind, "data": data, "cross_seq": seq, "timestamp_e6": us}
    ).encode()


def changes(delete=(), update=(), insert=()):
    return {"delete": list(delete), "update": list(update), "insert": list(insert), "transactTimeE6": 0}


INVERSE = [
    bybit("snapshot", [row("36409.50", "Buy", 68602), row("36410.50", "Buy", 73496), row("36424.50", "Sell", 4271363),
                       row("36427.00", "Sell", 1)], 7407067519, 1622542809357177),
    bybit("delta", changes([row("36427.00", "Sell")], [row("36424.50", "Sell", 4271098)],
                           [row("36438.50", "Sell", 169932)]), 7407067525, 1622542809497981),
    bybit("delta", changes(insert=[row("36411.00", "Buy", 5)]), 7407067525, 1622542809597981),  # of the same moment
]  # fmt: skip
LINEAR = [
    bybit("snapshot", {"order_book": [row("36385.50", "Buy", 6.457), row("36386.00", "Buy", 8.3550005),
                                      row("36400.00", "Sell", 13.931001)]}, "5737626212", "1622543529282954",
          "BTCUSDT", "orderBook_200.100ms"),
    bybit("delta", changes(update=[row("36386.00", "Buy", 1e-7)]), "5737626213", "1622543529382954", "BTCUSDT",
          "orderBook_200.100ms"),
]  # fmt: skip
INVERSE_TRADE = (
    b'{"topic":"trade.BTCUSD","data":[{"trade_time_ms":1616304710061,"timestamp":"2021-03-21T05:31:50.000Z","symbol":'
    b'"BTCUSD","side":"Buy","size":237,"price":57073.5,"tick_direction":"ZeroPlusTick","trade_id":'
    b'"f6198d62-4d4d-5908-9902-32c3aa5d9cfd","cross_seq":5404769827}]}'
)
LINEAR_TRADE = (
    b'{"topic":"trade.BTCUSDT","data":[{"symbol":"BTCUSDT","tick_direction":"ZeroPlusTick","price":"57170.00","size":0.04,'
    b'"timestamp":"2021-03-21T05:32:17.000Z","trade_time_ms":"1616304737092","side":"Sell",'
    b'"trade_id":"fe9ef57c-2571-5728-847b-7bc039b6b52d"}]}'
)
INSTRUMENT = b'{"topic":"instrument_info.100ms.BTCUSD","type":"delta","data":{"delete":[],"update":[],"insert":[]}}'


def checksum(bids, asks):
    pairs = zip_longest(bids[:25], asks[:25])
    text = ":".join(f"{level[0]}:{level[1]}" for level in chain(*pairs) if level)
    found = crc32(text.encode())
    return found - (1 << 32) if found >= 1 << 31 else found


BIDS = [[f"{38929 - n}.9", f"0.{n + 1}", "0", "4"] for n in range(30)]
ASKS = [[f"{38930 + n}", f"3.{n + 1}", "0", "12"] for n in range(30)]


def okex(action, bids, asks, crc, at="12:39:11.253", table="spot/depth_l2_tbt", instrument="BTC-USDT"):
    book = {"instrument_id": instrument, "asks": asks, "bids": bids, "timestamp": f"2021-06-03T{at}Z", "checksum": crc}
    return json.dumps({"table": table, "action": action, "data": [book]}, separators=(",", ":")).encode()


OKEX = [
    okex("partial", BIDS, ASKS, checksum(BIDS, ASKS)),
    okex("update", [["38929.9", "0", "0", "0"]], [["38930", "1", "0", "1"]],
         checksum(BIDS[1:], [["38930", "1"], *ASKS[1:]]), "12:39:11.353"),
]  # fmt: skip
OKEX_TRADES = [
    b'{"table":"spot/trade","data":[{"side":"sell","trade_id":"161659503","price":"56593.6","size":"0.00020621",'
    b'"instrument_id":"BTC-USDT","timestamp":"2021-03-22T01:16:28.687Z"}]}',
    b'{"table":"futures/trade","data":[{"side":"buy","trade_id":"5430565","price":"60059.7","qty":"20",'
    b'"instrument_id":"BTC-USDT-210625","timestamp":"2021-03-22T01:32:18.087Z"}]}',
]
DEPTH5 = b'{"table":"swap/depth5","data":[{"asks":[],"bids":[],"instrument_id":"BTC-USDT-SWAP","timestamp":"x"}]}'
GATE = [
    b'{"method":"depth.update","params":[true,{"asks":[["7449.62","0.3933"],["7450","3.5866"]],"bids":[["7448","1"]]},'
    b'"BTC_USDT"],"id":null}',
    b'{"method":"depth.update","params":[false,{"bids":[["7448","0"],["7447","2"]]},"BTC_USDT"],"id":null}',
]
GATE_TRADES = (
    b'{"method":"trades.update","params":["BTC_USDT",[{"id":7172174,"time":1523339279.761838,"price":"398.59","amount":'
    b'"0.027","type":"buy"},{"id":7172173,"time":1523339279.5,"price":"398.5","amount":"1","type":"sell"}]],"id":null}'
)
TICKER = b'{"method":"ticker.update","params":["BTC_USDT",{"period":86400,"last":"1"}],"id":null}'

PLACES = [
    ("bybit-inverse", INVERSE[0], "BTC_USD", "v2:orderBookL2_25"),
    ("bybit-linear", LINEAR[0], "BTC_USDT", "v2:orderBook_200.100ms"),
    ("bybit-inverse", INVERSE_TRADE, "BTC_USD", "v2:trade"),
    ("bybit-linear", LINEAR_TRADE, "BTC_USDT", "v2:trade"),
    ("bybit-inverse", INSTRUMENT, "BTC_USD", "v2:instrument_info.100ms"),
    ("okx", OKEX[0], "BTC_USDT", "v3:depth_l2_tbt"),
    ("okx", OKEX_TRADES[0], "BTC_USDT", "v3:trade"),
    ("okx", OKEX_TRADES[1], "BTC_USDT_210625", "v3:trade"),
    ("okx", DEPTH5, "BTC_USDT_PERP", "v3:depth5"),
    ("gate", GATE[0], "BTC_USDT", "v3:depth"),
    ("gate", GATE_TRADES, "BTC_USDT", "v3:trades"),
    ("gate", TICKER, "BTC_USDT", "v3:ticker"),
]


@pytest.mark.parametrize(("name", "payload", "symbol", "stream"), PLACES)
def test_a_message_says_which_protocol_it_is_of(name, payload, symbol, stream):
    venue = catalog.get(name)
    assert venue.place(venue.route(payload)) == Place(symbol, stream)
    assert stream not in venue.default_streams


@pytest.mark.parametrize("name", ["bybit-inverse", "okx", "gate"])
@pytest.mark.parametrize("key", [("v3:", 1, 2), (b"x", b"y", b"z"), ("v3:", b"\xff", b"y"), (b"spot/\xff", b"a"), ()])
def test_no_key_does_harm(name, key):
    assert catalog.get(name).place(key).symbol is None


def said(name, stream, payload):
    return list(catalog.get(name).decoder(stream)(payload))


def test_what_is_said():
    whole, change, _ = (said("bybit-inverse", "v2:orderBookL2_25", one)[0] for one in INVERSE)
    assert whole == BookUpdate(
        1622542809357177000, 7407067519, 7407067519, UNKNOWN, b'[["36409.50","68602"],["36410.50","73496"]]',
        b'[["36424.50","4271363"],["36427.00","1"]]', True, True,
    )  # fmt: skip
    assert (change.bids, change.asks, change.snapshot) == (
        b"[]", b'[["36427.00","0"],["36424.50","4271098"],["36438.50","169932"]]', False
    )  # fmt: skip
    whole, change = (said("bybit-linear", "v2:orderBook_200.100ms", one)[0] for one in LINEAR)
    assert (whole.bids, whole.last_seq) == (b'[["36385.50","6.457"],["36386.00","8.3550005"]]', 5737626212)
    assert change.bids == b'[["36386.00","0.0000001"]]'
    assert said("bybit-inverse", "v2:trade", INVERSE_TRADE) == [
        Trade(1616304710061000000, 0x190232C3AA5D9CFD, "57073.5", "237", Side.BID)
    ]
    assert said("bybit-linear", "v2:trade", LINEAR_TRADE) == [
        Trade(1616304737092000000, 0x047B7BC039B6B52D, "57170.00", "0.04", Side.ASK)
    ]
    (whole,) = said("okx", "v3:depth_l2_tbt", OKEX[0])
    assert (whole.venue_ns, whole.checksum, whole.snapshot, whole.shape) == (
        1622723951253000000, checksum(BIDS, ASKS), True, (0, 1)
    )  # fmt: skip
    assert said("okx", "v3:trade", OKEX_TRADES[0]) == [
        Trade(1616375788687000000, 161659503, "56593.6", "0.00020621", Side.ASK)
    ]
    assert said("okx", "v3:trade", OKEX_TRADES[1]) == [Trade(1616376738087000000, 5430565, "60059.7", "20", Side.BID)]
    assert said("gate", "v3:depth", GATE[1]) == [
        BookUpdate(0, UNKNOWN, UNKNOWN, UNKNOWN, Raw(b'[["7448","0"],["7447","2"]]'), Raw(b"[]"), False, False)
    ]
    assert [(one.trade_id, one.venue_ns, one.side) for one in said("gate", "v3:trades", GATE_TRADES)] == [
        (7172173, 1523339279500000000, Side.ASK), (7172174, 1523339279761838000, Side.BID)
    ]  # fmt: skip


def imported(path, name, payloads):
    """The import's report and the audit's, by feed, of these messages."""
    store = Store.create(path / "store")
    file = path / "old.hb"
    file.write_bytes(b"".join(b"%d %s\n" % (T0 + 10**8 * n, payload) for n, payload in enumerate(payloads)))
    report = import_files(store, catalog.get(name), [file])
    reports = audit_store(store, catalog.get, [feed.name for feed in store.feeds()])
    return store, report, {one.feed: one for one in reports}


@pytest.mark.parametrize(
    ("name", "payloads", "feed", "bids", "asks", "validity"),
    [
        ("bybit-inverse", [*INVERSE, INVERSE_TRADE], "BTC_USD", [364110, 364105, 364095], [364245, 364385],
         "unprovable"),
        ("bybit-linear", [*LINEAR, LINEAR_TRADE], "BTC_USDT", [363860, 363855], [364000], "unprovable"),
        ("okx", [*OKEX, OKEX_TRADES[0]], "BTC_USDT", [389289, 389279, 389269], [389300, 389310, 389320], "top"),
        ("gate", [*GATE, GATE_TRADES], "BTC_USDT", [744700], [744962, 745000], "unprovable"),
    ],
)  # fmt: skip
def test_a_capture_has_its_book_and_its_proof(tmp_path, name, payloads, feed, bids, asks, validity):
    store, report, reports = imported(tmp_path, name, payloads)
    assert report.findings == () and report.not_understood == {}
    audited = reports[f"{name}/{feed}"]
    assert audited.clean
    (stream,) = [one for one in audited.streams if "book_update" in one.decoded]
    assert [one.state.value for one in stream.intervals] == [validity]
    with store.reader(f"{name}/{feed}") as reader:
        book = Book(reader)
        list(book)
        found = tuple([price for price, _ in side] for side in book.top(3))
        assert (found, book.state) == ((bids, asks), BookState.SYNCED)


def test_a_lost_update_shows_where_there_is_a_checksum(tmp_path):
    third = okex("update", [["38928.9", "7", "0", "1"]], [], checksum([["38928.9", "7"], *BIDS[2:]],
                 [["38930", "1"], *ASKS[1:]]), "12:39:11.453")  # fmt: skip
    _, _, reports = imported(tmp_path, "okx", [OKEX[0], third])
    assert reports["okx/BTC_USDT"].finding_counts == {"checksum": 1}


def test_a_late_update_shows_where_a_number_rises(tmp_path):
    _, _, reports = imported(tmp_path, "bybit-inverse", [INVERSE[0], INVERSE[2], bybit(
        "delta", changes(insert=[row("36411.50", "Buy", 5)]), 7407067520, 1622542809397981)])  # fmt: skip
    assert reports["bybit-inverse/BTC_USD"].finding_counts == {"out_of_order": 1}


@pytest.mark.parametrize(
    ("name", "payload", "feed", "word"),
    [
        ("bybit-inverse", INSTRUMENT, "BTC_USD", "Bybit v2 instrument_info.100ms: not decoded by this version"),
        ("okx", DEPTH5, "BTC_USDT_PERP", "OKEx v3 depth5: not decoded by this version"),
        ("gate", TICKER, "BTC_USDT", "Gate v3 ticker: not decoded by this version"),
    ],
)
def test_what_is_not_decoded_says_so_with_the_protocol_s_name(tmp_path, name, payload, feed, word):
    _, report, reports = imported(tmp_path, name, [payload])
    assert report.not_understood == {word: 1}
    assert report.findings == (f"1 of 1 message is not understood ({word} 1): is the venue right?",)
    (finding,) = reports[f"{name}/{feed}"].findings
    assert finding.text == f"1 of 1 message is none that this venue is known to send (1 {word})"


OLD = [
    ("bybit-inverse", "v2:orderBookL2_25", INVERSE[1]),
    ("bybit-linear", "v2:orderBook_200.100ms", LINEAR[0]),
    ("bybit-linear", "v2:trade", LINEAR_TRADE),
    ("okx", "v3:depth_l2_tbt", OKEX[1]),
    ("okx", "v3:trade", OKEX_TRADES[1]),
    ("gate", "v3:depth", GATE[0]),
    ("gate", "v3:trades", GATE_TRADES),
]


@pytest.mark.parametrize(("name", "stream", "payload"), OLD)
@given(st.data())
def test_bent_messages_decode_or_are_one_wire_error(name, stream, payload, data):
    venue = catalog.get(name)
    at = data.draw(st.integers(0, len(payload)))
    piece = data.draw(st.sampled_from([b"", b"null", b'"', b"-1", b"{}", b"[]", b"9" * 25, b"1e99", b"\xff"]))
    bent = payload[:at] + piece + payload[at + data.draw(st.integers(0, 9)) :]
    key = venue.route(bent)
    if key is not None:
        venue.place(key)
    try:
        for message in venue.decoder(stream)(bent):
            venue.rule(stream).judge(message)
    except WireError:
        pass


def test_a_silly_time_costs_no_level():
    for name, stream, payload, key in (
        ("bybit-linear", "v2:orderBook_200.100ms", LINEAR[1], b'"timestamp_e6": "1622543529382954"'),
        ("okx", "v3:depth_l2_tbt", OKEX[1], b'"timestamp":"2021-06-03T12:39:11.353Z"'),
    ):
        assert key in payload
        for odd in (b"null", b'"never"', b"-5", b'"99999999999999999999"'):
            (update,) = said(name, stream, payload.replace(key, key[: key.index(b":") + 1] + odd))
            assert (update.venue_ns, len(update.bids) > 2) == (0, True)
