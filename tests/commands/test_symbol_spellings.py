"""Symbols as people type them: every spelling, in every command, and one line where it is none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mdtool.capture.recorder import Recorder, record_options
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.stored import StoredSource
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

CHINESE = "币安人生_USDT"
FEEDS = {
    f"binance/{CHINESE}": ["币安人生usdt", "binance/币安人生USDT", "binance/币安人生/usdt", "binance/币*"],
    "binance/ADA_EUR": ["binance/ADAEUR", "binance/ada-eur", "ADA/EUR", "binance/ADA/EUR"],
    "binance/FOOBAR": ["foobar", "binance/=foobar"],
    "kraken/BTC_USD": ["XBT/USD", "kraken/XBT/USD", "kraken/btc-usd", "kraken/XBT*"],
    "okx/XMR_USDT_PERP": ["okx/XMR-USDT-SWAP", "xmr-usdt-swap", "okx/*-SWAP"],
    "deribit/ETH_USD_210730_2800_C": ["deribit/ETH-30JUL21-2800-C", "ETH-30JUL21-2800-C", "deribit/eth-30jul21-*"],
    "bitfinex/DOGE_USD": ["tDOGE:USD", "bitfinex/DOGE/USD"],
}
CASES = [(given, name) for name, spellings in FEEDS.items() for given in (name, *spellings)]
# (time, stream, text) of two updates and a trade, as Binance sends them
DEPTH = '{{"stream":"{low}@depth@100ms","data":{{"e":"depthUpdate","E":1760000000000,"s":"{name}","U":{first},"u":{first},"b":[["0.71","3"]],"a":[["0.72","{first}"]]}}}}'  # noqa: E501
BOOK = '{"lastUpdateId":100,"bids":[["0.70","1"]],"asks":[["0.73","1"]]}'


def filled(store: Store, name: str, native: str) -> None:
    with store.writer(name, sync="none") as writer:
        depth, answers = writer.stream("depth@100ms"), writer.stream("snapshot")
        session = store.next_session()
        writer.append(10**18, int(Kind.RESPONSE), answers, session, BOOK.encode(), 0)
        for number in range(3):
            low = native.translate({capital: capital + 32 for capital in range(65, 91)})
            payload = DEPTH.format(low=low, name=native, first=101 + number).encode()
            writer.append(10**18 + 1 + number, int(Kind.DATA), depth, session, payload, 0)
        writer.end(10**18 + 9, "done")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "s"
    with Store.create(path) as opened:
        for name in FEEDS:
            filled(opened, name, "X")
    return path


@pytest.mark.parametrize(("given", "name"), CASES)
def test_a_feed_is_found_by_every_spelling(mdtool, store: Path, given: str, name: str) -> None:
    done = mdtool("--store", store, "registry", "list", given, "--json")
    assert (done.code, [row["feed"] for row in json.loads(done.out)["feeds"]]) == (0, [name])


@pytest.mark.parametrize("command", ["audit", "replay", "tail", "verify"])
def test_in_every_command(mdtool, store: Path, command: str) -> None:
    for given in ("okx/XMR-USDT-SWAP", "XBT/USD", "币安人生usdt"):
        done = mdtool("--store", store, command, given)
        assert "no such feed" not in done.err and done.code in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["audit", "币安人生USTD"], f"币安人生USTD: no such feed; near it: binance/{CHINESE}"),
        (["audit", "okx/XMR-USDT"], "okx/XMR-USDT: no such feed; near it: okx/XMR_USDT_PERP"),
        (["record", "binance", "AD_AEUR"], "binance: 'AD_AEUR' is no symbol; expected the form BTC_USDT or BTCUSDT; "
         "near it: ADA_EUR, "),
        (["record", "okx", "BTCUSDT"], "okx: 'BTCUSDT' is no symbol; expected the form BTC_USDT; near it: BTC_USDT, "),
        (["book", "kraken/ETHEUR", "--live", "kraken"],
         "kraken: 'ETHEUR' is no symbol; expected the form BTC_USDT; near it: ETH_EUR, "),
        (["sim", "--symbols", "../x"], "sim: '../x' is no symbol; expected the form BTC_USDT or BTCUSDT"),
    ],
)  # fmt: skip
def test_one_line_that_names_what_is_near(mdtool, store: Path, arguments: list[str], said: str) -> None:
    done = mdtool("--store", store, *arguments)
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: {said}")


def test_a_feed_of_before_is_still_read(mdtool, tmp_path: Path) -> None:
    """Recorded as AD_AEUR, by a rule that guessed: it is listed, audited, shown, and served under the venue's name."""
    path = tmp_path / "old"
    with Store.create(path) as opened:
        filled(opened, "binance/AD_AEUR", "ADAEUR")
    for given in ("binance/AD_AEUR", "ADAEUR", "ADA_EUR"):
        done = mdtool("--store", path, "audit", given, "--json")
        (report,) = json.loads(done.out)["feeds"]
        assert (done.code, report["feed"]) == (0, "binance/AD_AEUR")
    shown = mdtool("--store", path, "book", "ADAEUR", "--once", "--json")
    assert json.loads(shown.out)["book_state"] == "synced"
    assert served_again(path, "binance/AD_AEUR", tmp_path / "copy", "ADA_EUR") == 3


def test_a_symbol_in_another_script_is_served_and_recorded(mdtool, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store.create(path) as opened:
        filled(opened, f"binance/{CHINESE}", "币安人生USDT")
    assert served_again(path, f"binance/{CHINESE}", tmp_path / "copy", "币安人生usdt") == 3
    done = mdtool("--store", tmp_path / "copy", "audit", "币安人生usdt", "--json")
    report = next(report for report in json.loads(done.out)["feeds"] if report["feed"] == f"binance/{CHINESE}")
    assert (done.code, report["findings"]) == (0, [])


def served_again(path: Path, name: str, copy: Path, asked: str) -> int:
    """The feed served in the venue's protocol and recorded by the symbol asked for; the updates that came, with the
    whole book by REST."""
    venue = catalog.get("binance")

    async def main(original: Store, kept: Store) -> None:
        source = StoredSource(original, [name], speed=None, settle=1.0, at_end="close")
        async with Server(source, protocol_for("binance")) as server:
            options = record_options(
                venue, (asked,), streams=("depth@100ms",), ws_url=server.url, rest_url=server.rest, sync="none"
            )
            recorder = Recorder(kept, options, lambda event, text: None)
            running = asyncio.create_task(recorder.run())
            await server.finished()
            await asyncio.sleep(0.3)
            recorder.stop("everything was served")
            await running

    with Store.open(path) as original, Store.create(copy) as kept:
        asyncio.run(main(original, kept))
        with kept.reader(f"binance/{venue.canonical(asked)}") as reader:
            records = list(reader.records())
            assert any(record.kind == Kind.RESPONSE and b"lastUpdateId" in record.payload for record in records)
            return sum(record.kind == Kind.DATA for record in records)
