"""Imports into a store: what was in the file is in the feeds, in order; damage keeps what precedes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdtool.errors import ImportFormatError, UnknownSymbol, UsageError
from mdtool.interop import FeedImport, ImportReport, import_file, import_files
from mdtool.interop.item import Item
from mdtool.interop.routing import LineRouter, symbol_of_url
from mdtool.interop.source import Damage, DamagedLine
from mdtool.model import Flag, Kind
from mdtool.storage.store import Store
from mdtool.venues.catalog import get
from mdtool.venues.venue import Place

USDM = get("binance-usdm")
SPOT = get("binance")
T0 = 1_723_161_255_000_000_000
SNAPSHOT = b'{"lastUpdateId":10,"E":1,"T":1,"bids":[["1.0","2.0"]],"asks":[]}'
ACK = b'{"result":null,"id":1}'

Row = tuple[int, Kind, str, int, bytes]


def trade(number: int, symbol: str = "ethusdt") -> bytes:
    return (
        f'{{"stream":"{symbol}@trade","data":{{"e":"trade","E":1,"T":1,"s":"{symbol.upper()}","t":{number},'
        f'"p":"1.0","q":"2.0","X":"MARKET","m":true}}}}'
    ).encode()


def hb(*payloads: bytes, start: int = T0) -> bytes:
    return b"".join(b"%d %s\n" % (start + i, payload) for i, payload in enumerate(payloads))


def rows(store: Store, name: str) -> list[Row]:
    """Receive time, kind, stream, session and payload of every record; all flagged as imported."""
    with store.reader(name) as reader:
        found = list(reader.records())
        assert all(record.flags == Flag.IMPORTED for record in found)
        return [(r.recv_ns, Kind(r.kind), reader.stream_name(r.stream), r.session, r.payload) for r in found]


def end(text: str) -> bytes:
    return json.dumps({"reason": text}).encode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_hb_with_a_rest_body_before_its_symbol_is_known(store: Store, tmp_path: Path) -> None:
    path = put(tmp_path, "a.hb", hb(ACK, SNAPSHOT, trade(1), b"not json", trade(2)))
    report = import_file(store, USDM, path)
    size = len(SNAPSHOT) + len(trade(1)) + len(trade(2))
    assert report == ImportReport(
        paths=(path,),
        feeds=(
            FeedImport("binance-usdm/ETH_USDT", 3, size, T0 + 1, T0 + 4, {"snapshot": 1, "trade": 2}),
            FeedImport("binance-usdm/_session", 2, len(ACK) + 8, T0, T0 + 3, {"other": 1, "session": 1}),
        ),
        records=5,
        kinds={"data": 4, "response": 1},
        messages=4,
        of_market=2,
        not_understood={"not JSON": 1},
        damage=(Damage(),),
    )
    assert rows(store, "binance-usdm/ETH_USDT") == [
        (T0 + 1, Kind.RESPONSE, "snapshot", 1, SNAPSHOT),
        (T0 + 2, Kind.DATA, "trade", 1, trade(1)),
        (T0 + 4, Kind.DATA, "trade", 1, trade(2)),
        (T0 + 4, Kind.END, "session", 0, end("import of a.hb")),
    ]
    assert rows(store, "binance-usdm/_session") == [
        (T0, Kind.DATA, "session", 1, ACK),
        (T0 + 3, Kind.DATA, "other", 1, b"not json"),
        (T0 + 3, Kind.END, "session", 0, end("import of a.hb")),
    ]
    json.dumps(report.to_json())


def test_undecoded_streams_keep_their_own_name(store: Store, tmp_path: Path) -> None:
    kline = b'{"stream":"ethusdt@kline_1m","data":{"e":"kline"}}'
    import_file(store, USDM, put(tmp_path, "k.hb", hb(kline)))
    assert rows(store, "binance-usdm/ETH_USDT")[0] == (T0, Kind.DATA, "kline_1m", 1, kline)


def test_a_symbol_for_a_file_of_rest_bodies(store: Store, tmp_path: Path) -> None:
    path = put(tmp_path, "rest.hb", hb(SNAPSHOT))
    with pytest.raises(
        ImportFormatError, match="1 REST bodies and no frame that names their symbol; give it with --symbol"
    ):
        import_file(store, USDM, path)
    assert store.feeds() == []
    with pytest.raises(UnknownSymbol):
        import_file(store, USDM, path, symbol="!!")
    import_file(store, USDM, path, symbol="ethusdt")
    assert rows(store, "binance-usdm/ETH_USDT")[0] == (T0, Kind.RESPONSE, "snapshot", 2, SNAPSHOT)


URL = "https://www.binance.com/api/v3/depth?symbol=ETHUSDT&limit=1000"
WS = "wss://stream.binance.com:9443/stream?streams=ethusdt@trade"


def test_cf_connects_frames_sent_and_rest_answers_in_the_order_of_time(store: Store, tmp_path: Path) -> None:
    ws = put(
        tmp_path,
        "x.ws.cf",
        b'configuration: {"trades": []}\n'
        + f"{WS} <-> 1723161255.0\n".encode()
        + f'{WS} <- 1723161255.1: {{"id":1}}\n'.encode()
        + b"1723161255.2: " + trade(1) + b"\n"
        + f"{WS} <-> 1723161256.0\n".encode()
        + b"1723161256.25: " + trade(2) + b"\n\n",
    )  # fmt: skip
    http = put(tmp_path, "x.http.cf", f"{URL} -> 1723161255.15: ".encode() + SNAPSHOT + b"\n\n")
    report = import_files(store, SPOT, [ws, http])
    assert report.kinds == {"data": 2, "sent": 1, "open": 2, "response": 1, "note": 1}
    assert report.records == 7
    opened = json.dumps({"url": WS}).encode()
    second = 10**9
    assert rows(store, "binance/ETH_USDT") == [
        (T0, Kind.OPEN, "session", 1, opened),
        (T0 + 15 * second // 100, Kind.REQUEST, "snapshot", 2, json.dumps({"method": "GET", "url": URL}).encode()),
        (T0 + 15 * second // 100, Kind.RESPONSE, "snapshot", 2, SNAPSHOT),
        (T0 + second // 5, Kind.DATA, "trade", 1, trade(1)),
        (T0 + second, Kind.OPEN, "session", 3, opened),
        (T0 + 5 * second // 4, Kind.DATA, "trade", 3, trade(2)),
        (T0 + 5 * second // 4, Kind.END, "session", 0, end("import of x.ws.cf, x.http.cf")),
    ]
    note = json.dumps({"note": "configuration", "text": '{"trades": []}'}).encode()
    assert rows(store, "binance/_session") == [
        (T0, Kind.NOTE, "session", 1, note),
        (T0, Kind.OPEN, "session", 1, opened),
        (T0 + second // 10, Kind.SENT, "session", 1, b'{"id":1}'),
        (T0 + second, Kind.OPEN, "session", 3, opened),
        (T0 + second, Kind.END, "session", 0, end("import of x.ws.cf, x.http.cf")),
    ]


def test_a_rest_answer_that_is_no_book_belongs_to_the_session(store: Store, tmp_path: Path) -> None:
    url = "https://www.binance.com/api/v3/exchangeInfo?symbol=ETHUSDT"
    import_file(store, SPOT, put(tmp_path, "x.http.cf", f"{url} -> 1723161255.5: {{}}\n".encode()))
    assert [row[1:3] for row in rows(store, "binance/_session")] == [
        (Kind.REQUEST, "other"),
        (Kind.RESPONSE, "other"),
        (Kind.END, "session"),
    ]


def test_a_whole_book_under_a_url_of_another_time_is_of_the_one_symbol_named(store: Store, tmp_path: Path) -> None:
    """And of nobody where two are."""
    lines = b"".join(
        f"https://x/v0/book?of={symbols}&key=k -> 1723161255.{number}: ".encode() + SNAPSHOT + b"\n"
        for number, symbols in enumerate(("ETHUSDT", "ETHUSDT&not=BTCUSDT"))
    )
    import_file(store, SPOT, put(tmp_path, "x.http.cf", lines))
    assert [row[1:3] for row in rows(store, "binance/ETH_USDT")][:2] == [
        (Kind.REQUEST, "snapshot"),
        (Kind.RESPONSE, "snapshot"),
    ]
    assert [row[1:3] for row in rows(store, "binance/_session")][:2] == [
        (Kind.REQUEST, "other"),
        (Kind.RESPONSE, "other"),
    ]
    assert "binance/BTC_USDT" not in [feed.name for feed in store.feeds()]


def test_what_a_connection_was_told_does_not_hold_for_the_next() -> None:
    router = LineRouter(get("bitfinex"))
    told = b'{"event":"subscribed","channel":"trades","chanId":7,"symbol":"tETHUSD","pair":"ETHUSD"}'
    said = Item(T0, Kind.DATA, b'[7,"te",[1,1723161255000,1,2]]')
    assert router.place(Item(T0, Kind.DATA, told)) is not None
    assert router.place(said) == (Kind.DATA, Place("ETH_USD", "trades"))
    router.place(Item(T0, Kind.OPEN, b"{}"))
    assert router.place(said) == (Kind.DATA, Place(None, "other"))


def test_symbol_of_url() -> None:
    assert symbol_of_url(SPOT, URL) == "ETH_USDT"
    assert (
        symbol_of_url(SPOT, "https://elsewhere/api/v3/depth?limit=5&symbol=pengueur") is None
    )  # not the venue's spelling
    assert symbol_of_url(SPOT, "https://elsewhere/api/v3/depth?limit=5&symbol=PENGUEUR") == "PENGU_EUR"
    assert symbol_of_url(SPOT, "https://x/api/v3/trades?symbol=ETHUSDT") is None
    assert symbol_of_url(SPOT, "https://x/api/v3/depth") is None
    assert symbol_of_url(SPOT, "") is None
    assert symbol_of_url(USDM, "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000") == "BTC_USDT"


def test_pat_lines_are_routed_by_the_venue(store: Store, tmp_path: Path) -> None:
    path = put(tmp_path, "x.pat.gz", gzip.compress(b"2016-03-12 00:08:37,352 " + trade(1) + b"\n"))
    import_files(store, USDM, [path], zone=ZoneInfo("Asia/Tokyo"))
    nine_hours = 9 * 3600 * 10**9
    assert rows(store, "binance-usdm/ETH_USDT")[0] == (
        1_457_741_317_352_000_000 - nine_hours, Kind.DATA, "trade", 1, trade(1)
    )  # fmt: skip


def test_history_is_never_interleaved(store: Store, tmp_path: Path) -> None:
    first = put(tmp_path, "1.hb", hb(trade(1), trade(2)))
    import_file(store, USDM, first)
    before = rows(store, "binance-usdm/ETH_USDT")
    other = put(tmp_path, "other.hb", hb(trade(7)))
    with pytest.raises(UsageError) as caught:
        import_file(store, USDM, other)
    assert str(caught.value) == (
        f"{other} has records of binance-usdm/ETH_USDT from 2024-08-08T23:54:15Z that the store has not, and it holds "
        f"that feed up to 2024-08-08T23:54:15Z: they would be mixed up; import into a fresh --store, or give "
        f"--allow-overlap"
    )
    # Refused before anything is written, also where another feed of the file would have been fine.
    mixed = put(tmp_path, "2.hb", hb(trade(1, "btcusdt"), trade(9)))
    with pytest.raises(UsageError, match="binance-usdm/ETH_USDT"):
        import_file(store, USDM, mixed)
    assert [feed.name for feed in store.feeds()] == ["binance-usdm/ETH_USDT"]
    assert rows(store, "binance-usdm/ETH_USDT") == before
    # Another symbol of the same time is no overlap, and what is later goes behind.
    import_file(store, USDM, put(tmp_path, "3.hb", hb(ACK, trade(1, "btcusdt"))))
    import_file(store, USDM, put(tmp_path, "4.hb", hb(ACK, trade(3), start=T0 + 2)))
    assert [row[4] for row in rows(store, "binance-usdm/ETH_USDT") if row[1] == Kind.DATA] == [
        trade(1), trade(2), trade(3)
    ]  # fmt: skip
    import_files(store, USDM, [other], allow_overlap=True)
    assert [row[4] for row in rows(store, "binance-usdm/ETH_USDT") if row[1] == Kind.DATA] == [
        trade(1), trade(2), trade(3), trade(7)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.hb", b"", "{path} is empty, expected lines <recv ns> <raw json>; nothing is imported"),
        (
            "x.hb",
            gzip.compress(b"", mtime=0),
            "{path} is empty, expected lines <recv ns> <raw json>; nothing is imported",
        ),
        (
            "x.hb",
            b"72316125 {}\n",
            "{path} line 1: found '72316125 {{}}', expected <recv ns> <raw json>; nothing is imported",
        ),
        (
            "x",
            b"\n\nhello\n",
            "{path} line 3: found 'hello', expected <recv ns> <raw json> or <recv s.frac>: <raw>, or <url> with <-> "
            "(connect), <- (sent) or -> (REST answer) or YYYY-MM-DD hh:mm:ss,mmm <json>; nothing is imported",
        ),
        (
            "x.hb.gz",
            gzip.compress(hb(trade(1)), mtime=0)[:12],
            "{path} is cut short behind line 0: the gzip data ends early; nothing is imported",
        ),
        ("x.hb", b"hello", "{path} line 1: found 'hello', expected <recv ns> <raw json>; nothing is imported"),
    ],
)
def test_a_file_that_is_nothing_writes_nothing(
    store: Store, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = put(tmp_path, name, content)
    with pytest.raises(ImportFormatError) as caught:
        import_file(store, USDM, path)
    assert str(caught.value) == message.format(path=path)
    assert store.feeds() == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ethusdt_20240808.gz", b"1723161255000000000 "),  # as hftbacktest's collectors name it
        ("BINANCE_FUTURES.ws.2", b"1723161255.0: "),  # as cryptofeed does
        ("market.log", b"2024-08-08 23:54:15,000 "),
        ("a.hb", b"1723161255.0: "),
        ("a.cf", b"1723161255000 "),
    ],
)
def test_formats_are_told_by_what_is_in_the_file(store: Store, tmp_path: Path, name: str, line: bytes) -> None:
    text = b"# a comment\n" + line + trade(1) + b"\n"
    path = put(tmp_path, name, gzip.compress(text) if name.endswith(".gz") else text)
    report = import_file(store, USDM, path)
    assert rows(store, "binance-usdm/ETH_USDT")[0] == (T0, Kind.DATA, "trade", 1, trade(1))
    assert report.damage == (Damage([DamagedLine(1, "'# a comment'")], 1),)
    assert rows(store, "binance-usdm/_session")[0] == (T0, Kind.DATA, "damaged", 1, b"# a comment")


def test_what_cannot_be_imported(store: Store, tmp_path: Path) -> None:
    path = put(tmp_path, "x", hb(trade(1)))
    with pytest.raises(UsageError, match="no import format 'csv'; expected one of hb, cf, pat"):
        import_files(store, USDM, [path], form="csv")
    with pytest.raises(ImportFormatError, match=r"line 1: found '1723161255000000000 \{.*expected <recv s.frac>"):
        import_files(store, USDM, [path], form="cf")
    assert store.feeds() == []
    with pytest.raises(ImportFormatError, match="no such file to import"):
        import_file(store, USDM, tmp_path / "gone")
    with pytest.raises(ImportFormatError, match="a directory, expected a file"):
        import_file(store, USDM, tmp_path)
    with pytest.raises(UsageError, match="no file to import"):
        import_files(store, USDM, [])
    with pytest.raises(UsageError, match=r"standard input \(-\) is named twice"):
        import_files(store, USDM, ["-", "-"])


def test_damaged_lines_are_kept_as_they_stand_and_the_rest_comes_in(store: Store, tmp_path: Path) -> None:
    text = (
        hb(trade(1), trade(2)) + b"oops\n" + hb(trade(3), start=T0 + 9) + bytes(70) + b"\n" + hb(trade(4), start=T0 + 9)
    )
    report = import_file(store, USDM, put(tmp_path, "x.hb", text))
    nul = r"'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0..."
    assert report.damage == (Damage([DamagedLine(3, "'oops'"), DamagedLine(5, nul)], 2),)
    assert report.findings == (f"{tmp_path / 'x.hb'}: 2 damaged lines, kept as they stand: line 3 ('oops'), 5 ({nul})",)
    assert rows(store, "binance-usdm/ETH_USDT") == [
        (T0, Kind.DATA, "trade", 1, trade(1)),
        (T0 + 1, Kind.DATA, "trade", 1, trade(2)),
        (T0 + 9, Kind.DATA, "trade", 1, trade(3)),
        (T0 + 9, Kind.DATA, "trade", 1, trade(4)),
        (T0 + 9, Kind.END, "session", 0, end("import of x.hb")),
    ]
    assert rows(store, "binance-usdm/_session") == [
        (T0 + 1, Kind.DATA, "damaged", 1, b"oops"),
        (T0 + 9, Kind.DATA, "damaged", 1, bytes(70)),
        (T0 + 9, Kind.END, "session", 0, end("import of x.hb")),
    ]


CR = b"\r\n"


@pytest.mark.parametrize("stamp", [b"%d.%09d: ", b"%d%09d "])
def test_damage_of_every_kind_in_every_format(store: Store, tmp_path: Path, stamp: bytes) -> None:
    """A mark before, CRs behind, a line of NULs, a message cut off within its line, and the last one cut."""
    lines = [stamp % (T0 // 10**9, number) + trade(number) for number in range(6)]
    text = b"\xef\xbb\xbf" + CR.join([*lines[:2], bytes(9), lines[2][:40], lines[3], b"", lines[4], lines[5][:-9]])
    report = import_file(store, USDM, put(tmp_path, "any", text))
    assert [row[4] for row in rows(store, "binance-usdm/ETH_USDT")[:-1]] == [trade(0), trade(1), trade(3), trade(4)]
    assert [row[2:5:2] for row in rows(store, "binance-usdm/_session")[:-1]] == [
        ("damaged", bytes(9)),
        ("other", lines[2][:40].partition(b" ")[2]),
        ("damaged", lines[5][:-9]),
    ]
    assert [line.number for line in report.damage[0].lines] == [3, 8]
    assert report.not_understood == {"not JSON": 1}


def test_one_damaged_file_does_not_cost_the_others(store: Store, tmp_path: Path) -> None:
    bad = put(tmp_path, "bad.hb", hb(trade(1)) + b"oops\n")
    good = put(tmp_path, "good.hb", hb(trade(1, "btcusdt"), trade(2, "btcusdt")))
    report = import_files(store, USDM, [bad, good])
    assert report.damage == (Damage([DamagedLine(2, "'oops'")], 1), Damage())
    assert len(rows(store, "binance-usdm/BTC_USDT")) == 3


def test_a_cut_gzip_file_keeps_what_came_before_and_says_so(store: Store, tmp_path: Path) -> None:
    packed = gzip.compress(hb(*(trade(number) for number in range(400))))
    path = put(tmp_path, "x.hb.gz", packed[: len(packed) * 2 // 3])
    report = import_file(store, USDM, path)
    kept = report.feeds[0].records
    assert report.damage[0].cut == f"{path} is cut short behind line {kept}: the gzip data ends early"
    assert 100 < kept < 400
    found = rows(store, "binance-usdm/ETH_USDT")
    assert [row[4] for row in found[:-1]] == [trade(number) for number in range(kept)]
    assert found[-1][4] == end("import of x.hb.gz (damaged: what came before is kept)")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), packed=st.booleans())
def test_a_file_cut_anywhere_keeps_what_came_before(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    payloads = [trade(number) for number in range(40)]
    text = hb(*payloads)
    whole = gzip.compress(text) if packed else text
    cut = data.draw(st.integers(1, len(whole) - 1))
    path = put(folder, "x.hb", whole[:cut])
    store = Store.create(folder / "store")
    try:
        damage = import_file(store, USDM, path).damage[0]
    except ImportFormatError as error:
        assert "is cut short" in str(error) or "line 1: found" in str(error)
        assert store.feeds() == []
        return
    found = [row[4] for row in rows(store, "binance-usdm/ETH_USDT") if row[1] == Kind.DATA]
    assert found == payloads[: len(found)]
    if packed:
        assert damage.cut is not None
    else:
        # A line is whole with or without its newline, and nothing else is.
        assert len(found) == text[: cut + 1].count(b"\n")
        assert damage.count == (text[cut - 1 : cut] != b"\n" and text[cut : cut + 1] != b"\n")


def test_progress_is_the_sum_over_the_files(store: Store, tmp_path: Path) -> None:
    one = put(tmp_path, "1.hb", hb(trade(1)))
    two = put(tmp_path, "2.hb", hb(trade(1, "btcusdt")))
    seen: list[tuple[int, int]] = []
    import_files(store, USDM, [one, two], progress=lambda done, total: seen.append((done, total)))
    total = one.stat().st_size + two.stat().st_size
    assert seen[-1] == (total, total)


def test_the_last_line_needs_no_newline(store: Store, tmp_path: Path) -> None:
    assert import_file(store, USDM, put(tmp_path, "x.hb", hb(trade(1)).rstrip(b"\n"))).records == 1


@pytest.mark.realdata
def test_a_real_capture_byte_for_byte(store: Store, realdata: Path) -> None:
    path = realdata / "binance_usdm" / "ethusdt_20240808.hb.gz"
    report = import_file(store, USDM, path)
    assert report.records == 74_655
    assert report.kinds == {"data": 74_654, "response": 1}
    with store.reader("binance-usdm/ETH_USDT") as reader, gzip.open(path) as file:
        records = reader.records()
        count = 0
        for line in file:
            record = next(records)
            assert b"%d %s\n" % (record.recv_ns, record.payload) == line
            count += 1
        assert count == 74_655
        assert [record.kind for record in records] == [Kind.END]


@pytest.mark.realdata
def test_a_real_websocket_file_and_its_rest_file(store: Store, realdata: Path) -> None:
    folder = realdata / "binance"
    files = [folder / "2021-10-11.ws.cf.gz", folder / "2021-10-11.http.cf.gz"]
    report = import_files(store, SPOT, files)
    assert report.kinds == {"data": 265, "open": 1, "response": 4}
    lines: list[bytes] = []
    for feed in store.feeds():
        ordered = rows(store, feed.name)
        assert [row[0] for row in ordered] == sorted(row[0] for row in ordered)
        lines += [row[4] for row in ordered if row[1] in (Kind.DATA, Kind.RESPONSE)]
    expected = [
        line.split(b": ", 1)[1]
        for path in files
        for line in gzip.decompress(path.read_bytes()).splitlines()
        if b": {" in line
    ]
    assert sorted(lines) == sorted(expected)
    assert len(lines) == 269


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("coinbase/2016-03-12_full_l3.pat.gz", 9_485),
        ("coinbase_advanced/2026-08-09_head.ws.cf.gz", 324),
        ("deribit/2021-04-05.ws.cf.gz", 461),
        ("kraken/2021-04-17_v1.ws.cf.gz", 4_321),
        ("okx/2022-05-13.ws.cf.gz", 410),
        ("bitfinex/2021-04-17.ws.cf.gz", 1_693),
        ("hyperliquid/btcusd_20250126.hb.gz", 55),
    ],
)
def test_every_real_capture_parses_whatever_the_venue(store: Store, realdata: Path, name: str, records: int) -> None:
    """No adapter knows these messages: all of them are kept in the session feed."""
    report = import_file(store, SPOT, realdata / name)
    assert report.kinds["data"] == records
    assert len(report.findings) == 1
    assert report.findings[0].endswith("is the venue right?")
    assert [feed.name for feed in store.feeds()] == ["binance/_session"]
