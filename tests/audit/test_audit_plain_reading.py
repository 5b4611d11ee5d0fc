"""The audit never says more than a plain reading of the same lines: real captures with one message removed, repeated,
swapped with the next or altered by a digit, drawn by chance. `MDTOOL_FUZZ` multiplies the number of faults."""

from __future__ import annotations

import gzip
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import plain_reading as plain
import pytest

from mdtool.audit import FeedReport, audit_store
from mdtool.interop import import_files
from mdtool.storage.store import Store
from mdtool.venues import catalog

pytestmark = pytest.mark.realdata

FAULTS = 5 * max(1, int(os.environ.get("MDTOOL_FUZZ", "0")))
DIGIT = re.compile(rb"\d")


class Capture(NamedTuple):
    venue: str
    file: str
    read: Callable[..., None]
    chains: int  # that the plain reading finds in it
    beside: tuple[str, ...] = ()  # REST answers


CAPTURES = [
    Capture("binance", "binance/2021-10-11.ws.cf.gz", plain.binance, 6, beside=("binance/2021-10-11.http.cf.gz",)),
    Capture("binance", "binance/ethusdt_20240808_head3000.hb.gz", plain.binance, 2),
    Capture("binance-usdm", "binance_usdm/btcusdt_20240808_head3000.hb.gz", plain.binance, 2),
    Capture("kraken", "kraken/2021-04-17_v1.ws.cf.gz", plain.kraken, 10),
    Capture("okx", "okx/2022-05-13.ws.cf.gz", plain.okx, 6),
    Capture("bitfinex", "bitfinex/2021-04-17.ws.cf.gz", plain.bitfinex, 1),
    Capture("deribit", "deribit/2021-04-05.ws.cf.gz", plain.deribit, 10),
    Capture("gate", "gateio/2021-04-22.ws.cf.gz", plain.gate, 10, beside=("gateio/2021-04-22.http.cf.gz",)),
    Capture(
        "gate-futures", "gateio_futures/2023-06-01.ws.cf.gz", plain.gate, 10,
        beside=("gateio_futures/2023-06-01.http.cf.gz",),
    ),
    Capture("kucoin", "kucoin/2021-07-22.ws.cf.gz", plain.kucoin, 9),
    Capture("bitstamp", "bitstamp/2022-01-04.ws.cf.gz", plain.no_numbers, 0),
    Capture("coinbase", "coinbase/2021-04-17_level2.ws.cf.gz", plain.coinbase_matches, 10),
    Capture("coinbase", "coinbase/2016-03-12_full_l3.pat.gz", plain.coinbase_full, 1),
    Capture("coinbase-advanced", "coinbase_advanced/2026-08-09_head.ws.cf.gz", plain.coinbase_advanced, 3),
    Capture("hyperliquid", "hyperliquid/btcusd_20250126.hb.gz", plain.no_numbers, 0),
]  # fmt: skip


def disturbed(lines: list[bytes], chance: random.Random) -> tuple[str, list[bytes]]:
    """One fault, and how it is called."""
    messages = [number for number, line in enumerate(lines) if re.match(rb"[\d.]+:? |\d{4}-", line)]
    at = chance.randrange(1, len(messages) - 1)
    here, there = messages[at], messages[at + 1]
    made = list(lines)
    what = chance.choice(("remove", "repeat", "swap", "alter"))
    if what == "remove":
        del made[here]
    elif what == "repeat":
        made.insert(here, made[here])
    elif what == "swap":
        (one, first), (other, second) = parted(made[here]), parted(made[there])
        made[here], made[there] = one + second, other + first
    else:
        head, payload = parted(made[here])
        digits = [found.start() for found in DIGIT.finditer(payload)]
        if digits:
            place = chance.choice(digits)
            digit = b"%d" % ((payload[place] - ord("0") + chance.randrange(1, 10)) % 10)
            payload = payload[:place] + digit + payload[place + 1 :]
        made[here] = head + payload
    return f"{what} line {here + 1}", made


def parted(line: bytes) -> tuple[bytes, bytes]:
    """A line's receive time, and its message."""
    at = min(found for found in (line.find(b"{"), line.find(b"["), len(line)) if found >= 0)
    return line[:at], line[at:]


def audited(capture: Capture, realdata: Path, folder: Path, lines: list[bytes]) -> dict[str, FeedReport]:
    path = folder / Path(capture.file).name
    path.write_bytes(gzip.compress(b"".join(lines), 1))
    with Store.create(folder / "store") as store:
        import_files(store, catalog.get(capture.venue), [path, *(realdata / one for one in capture.beside)])
        names = [feed.name for feed in store.feeds()]
        return {report.feed: report for report in audit_store(store, catalog.get, names)}


def feed_of(capture: Capture, chain: plain.Chain) -> str:
    """The feed that a chain is in; of a connection's, the session's."""
    venue = catalog.get(capture.venue)
    return f"{venue.name}/{venue.named(chain[0]) or chain[0]}" if chain[0] else f"{venue.name}/_session"


def claims(report: FeedReport, chain: plain.Chain) -> set[str]:
    """What the ledger says of a chain."""
    return {one.state.value for one in report.intervals if one.stream.lower().startswith(chain[1].lower())}


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda one: Path(one.file).name)
def test_what_holds_is_whole_as_far_as_numbers_go(realdata: Path, tmp_path: Path, capture: Capture) -> None:
    """The plain reading itself: it finds every chain there is, all of them hold, and the audit knows them too."""
    lines = gzip.decompress((realdata / capture.file).read_bytes()).splitlines(keepends=True)
    found, wrong = plain.broken(capture.read, lines)
    assert (len(found), wrong) == (capture.chains, set())
    reports = audited(capture, realdata, tmp_path, lines)
    for chain in found:
        assert claims(reports[feed_of(capture, chain)], chain) <= {"whole", "top"}, chain
    numbered = {what for _, what in found}
    for report in reports.values():
        for one in report.intervals:
            if one.state.value == "whole":
                assert any(one.stream.lower().startswith(what.lower()) for what in numbered), (report.feed, one)


@pytest.mark.parametrize("number", range(FAULTS))
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda one: Path(one.file).name)
def test_no_fault_is_called_whole(realdata: Path, tmp_path: Path, capture: Capture, number: int) -> None:
    lines = gzip.decompress((realdata / capture.file).read_bytes()).splitlines(keepends=True)
    what, made = disturbed(lines, random.Random(f"{capture.file}/{number}"))
    found, wrong = plain.broken(capture.read, made)
    reports = audited(capture, realdata, tmp_path, made)
    if not wrong:
        return
    assert not all(report.clean for report in reports.values()), (what, wrong)
    for chain in wrong & found:
        report = reports.get(feed_of(capture, chain))
        if report is None:
            continue
        if chain[0]:  # of a connection each frame's own feed has the finding
            assert not report.clean, (what, chain)
        if what.startswith(("remove", "alter")):  # the others take nothing away
            assert claims(report, chain) != {"whole"}, (what, chain)
