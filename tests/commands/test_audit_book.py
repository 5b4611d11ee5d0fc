"""audit and book: what the numbers prove, and the book against the exchange's own."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

import mdtool as mdtool_package
from mdtool.exchange.simulator import Simulator
from mdtool.model import Kind, format_decimal
from mdtool.storage.store import Store

TRADE = b'{"e":"trade","E":1,"s":"A","t":%d,"p":"1","q":"1","T":1,"m":true}'
FIXTURES = Path(__file__).parents[2] / "fixtures"
START_NS = 1_760_000_000_000_000_000  # as tests/test_fixtures.py makes the capture


def without(tmp_path: Path, mdtool, number: int) -> Path:
    """A store with the simulated capture but for its `number`-th depth message."""
    kept, seen = [], 0
    for line in (FIXTURES / "sim_alpha.hb").read_bytes().splitlines(keepends=True):
        seen += b"depthUpdate" in line
        if b"depthUpdate" not in line or seen != number:
            kept.append(line)
    (tmp_path / "cut.hb").write_bytes(b"".join(kept))
    assert mdtool("--store", tmp_path / "cut", "import", "sim", tmp_path / "cut.hb").code == 0
    return tmp_path / "cut"


def depth_ids() -> list[tuple[int, int]]:
    """(U, u) of each depth message of the capture."""
    rows = (FIXTURES / "sim_alpha.hb").read_bytes().splitlines()
    messages = [json.loads(row.split(b" ", 1)[1])["data"] for row in rows if b"depthUpdate" in row]
    return [(message["U"], message["u"]) for message in messages]


# -- audit ----------------------------------------------------------------------------------------------------------


def test_audit_of_a_whole_feed(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "audit")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "sim/ALPHA_USDT  clean  529 records, 2025-10-09 08:53:20 to 08:53:22Z\n"
        "  stream       records  messages    proven\n"
        "  aggTrade          13  13 trades   whole\n"
        "  bookTicker       253  253 quotes  unprovable: the venue's numbers do not show a loss here\n"
        "  depth@100ms       30  30 updates  whole\n"
        "  session            1  1 end       -\n"
        "  snapshot           1  1 snapshot  -\n"
        "  trade            231  231 trades  whole\n"
        "  received 2.3ms after the venue's own time (median; 2ms to 2.9ms)\n"
    )


def test_audit_json_is_the_golden_one(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "audit", "--json")
    assert json.loads(done.out) == {"schema": 1} | json.loads((FIXTURES / "sim_alpha.audit.json").read_text())


def test_the_golden_audit_counts_what_the_file_has() -> None:
    report = json.loads((FIXTURES / "sim_alpha.audit.json").read_text())
    text = (FIXTURES / "sim_alpha.hb").read_text()
    assert report["clean"] is True
    assert report["feeds"][0]["totals"] == {
        "depth_updates": text.count('"depthUpdate"'),
        "trades": text.count('@trade"') + text.count('@aggTrade"'),
        "quotes": text.count('@bookTicker"'),
        "snapshots": text.count('"lastUpdateId"'),
        "other": 0,
    }


def test_audit_finds_the_message_that_is_missing(mdtool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    store = without(tmp_path, mdtool, 12)
    done = mdtool("--store", store, "audit", "ALPHAUSDT", "--json")
    assert done.code == 1
    report = json.loads(done.out)
    assert report["clean"] is False
    assert report["feeds"][0]["finding_counts"] == {"gap": 1}
    (gap,) = report["feeds"][0]["findings"]
    ids = depth_ids()
    assert (gap["after_seq"], gap["next_first_seq"]) == (ids[10][1], ids[12][0])
    text = mdtool("--store", store, "audit")
    assert text.code == 1
    assert f"depth@100ms  gap after id {ids[10][1]}: the next message begins at {ids[12][0]}" in text.out
    assert text.out.startswith("sim/ALPHA_USDT  1 gap  528 records")


def test_audit_of_a_stretch(mdtool, tmp_path: Path) -> None:
    store = without(tmp_path, mdtool, 12)
    assert mdtool("--store", store, "audit", "--to", "first+1s").code == 0
    assert mdtool("--store", store, "audit", "--from", "first+1s").code == 1


def test_audit_of_many_is_short_where_all_is_well(mdtool, tmp_path: Path) -> None:
    with Store.create(tmp_path / "store") as store:
        for number in range(6):
            with store.writer(f"sim/A{number}_USDT") as writer:
                for trade in (1, 2):
                    writer.append(10**18 + trade, Kind.DATA, writer.stream("trade"), 1, TRADE % trade)
                writer.end(10**18 + 3, "test")
    done = mdtool("--store", tmp_path / "store", "audit")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "6 feeds, 6 clean"
    assert len(done.out.splitlines()) == 7


def test_audit_of_a_venue_unknown_here(mdtool, tmp_path: Path) -> None:
    with Store.create(tmp_path / "store") as store, store.writer("elsewhere/A_USDT") as writer:
        writer.append(10**18, Kind.DATA, writer.stream("trade"), 1, b"{}")
    done = mdtool("--store", tmp_path / "store", "audit")
    assert done.code == 2
    assert done.out.startswith("elsewhere/A_USDT  not audited\n  unknown venue 'elsewhere'")


# -- book -----------------------------------------------------------------------------------------------------------


def test_book_once_is_the_golden_one(mdtool, alpha: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = mdtool("--store", alpha, "book", "alpha_usdt", "--at", "last", "--depth", "8")
    assert (done.code, done.err) == (0, "")
    assert done.out == (FIXTURES / "sim_alpha.book.txt").read_text()


@pytest.mark.parametrize("at", ["", "first+1s", "first+2s"])
def test_the_book_is_the_exchanges(mdtool, alpha: Path, at: str) -> None:
    arguments = ["book", "ALPHAUSDT", "--json", "--depth", "1000", *(["--at", at] if at else [])]
    book = json.loads(mdtool("--store", alpha, *arguments).out)
    simulator = Simulator(("ALPHA_USDT",), seed=7, rate=50.0, start_ns=START_NS, keep_truth=True)
    simulator.step(START_NS + 3_000_000_000)
    truth = simulator.truth("ALPHA_USDT").at(book["last_seq"])

    def text(levels: dict[int, int]) -> list[list[str]]:
        return [[format_decimal(price, -2), format_decimal(size, -4)] for price, size in levels.items()]

    assert (book["state"], book["book_state"]) == ("synced" if at else "ended", "synced")
    assert book["bids"] == text(truth.bids)
    assert book["asks"] == text(truth.asks)
    assert book["last_seq"] in {last for _, last in depth_ids()}


def test_book_behind_a_gap_says_so(mdtool, tmp_path: Path) -> None:
    store = without(tmp_path, mdtool, 12)
    book = json.loads(mdtool("--store", store, "book", "ALPHA_USDT", "--json").out)
    assert (book["book_state"], book["gaps"], book["last_seq"]) == ("dirty", 1, depth_ids()[10][1])
    assert (
        "DIRTY since 08:53:21.222: gap, waiting for snapshot"
        in mdtool("--store", store, "book", "ALPHA_USDT", "--once").out
    )


def test_book_before_its_snapshot(mdtool, alpha: Path) -> None:
    book = json.loads(mdtool("--store", alpha, "book", "ALPHA_USDT", "--json", "--at", "first+100ms").out)
    assert (book["state"], book["last_seq"]) == ("partial", 4282113730)  # what the changes alone have told
    drawn = mdtool("--store", alpha, "book", "ALPHA_USDT", "--at", "first+100ms").out
    assert "PARTIAL" in drawn and "changes alone, no whole book yet" in drawn


def test_book_takes_the_freshest_of_several(mdtool, alpha: Path) -> None:
    with Store.create(alpha) as store, store.writer("binance/ALPHA_USDT") as writer:
        writer.append(10**18, Kind.DATA, writer.stream("trade"), 1, b"{}")
    done = mdtool("--store", alpha, "book", "ALPHA_USDT", "--json")
    assert json.loads(done.out)["feed"] == "sim/ALPHA_USDT"
    assert done.err == (
        "ALPHA_USDT is recorded more than once: this is sim/ALPHA_USDT, not binance/ALPHA_USDT; or --venues all\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["BETA_USDT"],
            "mdtool: BETA_USDT: no such feed; near it: sim/ALPHA_USDT; to record it: mdtool record VENUE BETA_USDT, "
            "or on the spot: mdtool book BETA_USDT --live VENUE",
        ),
        (["okx/ALPHA_USDT"], "mdtool: okx/ALPHA_USDT: no such feed; near it: sim/ALPHA_USDT; to record it: mdtool rec"),
        (["ALPHA_USDT", "--l3"], "mdtool: sim/ALPHA_USDT: no stream by order is recorded, so there is no L3 book; it"),
        (["ALPHA_USDT", "--live", "nowhere"], "mdtool: unknown venue 'nowhere'"),
        (["ALPHA_USDT", "--at", "soon"], "mdtool: no time: 'soon'; expected"),
        (["ALPHA_USDT", "--depth", "0"], "mdtool: --depth '0': expected at least 1"),
        ([], "mdtool: FEED is missing; see: mdtool book --help"),
    ],
)
def test_book_of_nothing(mdtool, alpha: Path, arguments: list[str], line: str) -> None:
    done = mdtool("--store", alpha, "book", *arguments)
    assert done.code == 2
    assert done.error_line.startswith(line)


@pytest.mark.realdata
def test_the_real_feed(mdtool, tmp_path: Path, realdata: Path) -> None:
    """74,655 records; what is proven of them; its book."""
    store = tmp_path / "store"
    capture = realdata / "binance_usdm" / "ethusdt_20240808.hb.gz"
    report = json.loads(mdtool("--store", store, "import", "binance-usdm", capture, "--json").out)
    assert report["records"] == 74_655
    done = mdtool("--store", store, "audit", "binance-usdm/ETH_USDT", "--json")
    assert done.code == 0
    (feed,) = json.loads(done.out)["feeds"]
    assert (feed["totals"]["depth_updates"], feed["totals"]["trades"]) == (6_586, 14_076)
    assert feed["finding_counts"] == {}
    book = json.loads(mdtool("--store", store, "book", "ethusdt", "--json", "--depth", "1").out)
    # The capture's own last bookTicker, which is of an id before the last depth update, has this bid and ask.
    assert (book["book_state"], book["bids"], book["asks"]) == (
        "synced",
        [["2681.38", "8.486"]],
        [["2681.39", "22.624"]],
    )


@pytest.mark.realdata
def test_the_orders_of_a_real_book(mdtool, tmp_path: Path, realdata: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    store = tmp_path / "store"
    mdtool("--store", store, "import", "coinbase", realdata / "coinbase" / "2016-03-12_full_l3.pat.gz")
    book = json.loads(mdtool("--store", store, "book", "coinbase/BTC_USD", "--l3", "--json", "--depth", "10").out)
    assert (book["book_state"], len(book["bids"]), len(book["asks"])) == ("synced", 10, 10)
    for side in ("bid", "ask"):
        for (_, size), queue in zip(book[f"{side}s"], book[f"{side}_orders"], strict=True):
            assert queue and Decimal(size) == sum(map(Decimal, queue))
    drawn = mdtool("--store", store, "book", "coinbase/BTC_USD", "--l3", "--once", "--depth", "3").out
    assert "orders" in drawn and "queue, first come first" in drawn
    assert book["day"]["trades"] == book["minute"]["trades"] > 0


@pytest.mark.realdata
def test_what_a_checksum_of_the_best_ten_does_not_prove_is_said(mdtool, tmp_path: Path, realdata: Path) -> None:
    store = tmp_path / "store"
    mdtool("--store", store, "import", "kraken", realdata / "kraken" / "2021-04-17_v1.ws.cf.gz")
    with Store.open(store) as opened:
        name = next(feed.name for feed in opened.feeds() if "_session" not in feed.name)
        with opened.reader(name) as reader:
            book = mdtool_package.Book(reader)
            assert book.proven_depth is None
            for _ in book:
                pass
            assert book.proven_depth == 10
    said = json.loads(mdtool("--store", store, "book", name, "--json").out)
    assert (said["book_state"], said["proven_depth"]) == ("synced", 10)
    assert "0 gaps  best 10 proven" in mdtool("--store", store, "book", name, "--once").out
