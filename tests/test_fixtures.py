"""The project's own small data: hashes as the manifest says, and the simulated capture made again, byte for byte."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from types import SimpleNamespace

from mdtool.exchange.binance import DIALECTS, BinanceProtocol
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator

FIXTURES = Path(__file__).parents[1] / "fixtures"
START_NS = 1_760_000_000_000_000_000
SNAPSHOT_NS = START_NS + 550_000_000  # between two depth messages, so that it has to be bridged
END_NS = START_NS + 3_000_000_000
DELAY_NS = 2_000_000  # from the venue's clock to the receive time


def manifest() -> list[SimpleNamespace]:
    entries = tomllib.loads((FIXTURES / "MANIFEST.toml").read_text(encoding="utf-8"))["file"]
    return [SimpleNamespace(**entry) for entry in entries]


def sim_alpha() -> bytes:
    """Three seconds of ALPHA_USDT as an .hb file, its REST snapshot among the frames."""
    simulator = Simulator(("ALPHA_USDT",), seed=7, rate=50.0, start_ns=START_NS)
    messages = simulator.step(SNAPSHOT_NS)
    protocol = BinanceProtocol(DIALECTS["sim"])
    query = {"symbol": "ALPHAUSDT", "limit": "1000"}
    book = protocol.rest("GET", "/api/v3/depth", query, SimulatedSource(simulator)).body
    lines = [(message.venue_ns + DELAY_NS, message.payload) for message in messages]
    lines.append((SNAPSHOT_NS + DELAY_NS, book))
    lines += [(message.venue_ns + DELAY_NS, message.payload) for message in simulator.step(END_NS)]
    return b"".join(b"%d %b\n" % line for line in lines)


def test_every_fixture_is_in_the_manifest() -> None:
    there = {path.name for path in FIXTURES.iterdir()} - {"MANIFEST.toml"}
    assert there == {entry.name for entry in manifest()}


def test_hashes() -> None:
    wanted = {entry.name: entry.sha256 for entry in manifest()}
    found = {name: hashlib.sha256((FIXTURES / name).read_bytes()).hexdigest() for name in wanted}
    assert found == wanted


def test_every_fixture_says_where_it_is_from() -> None:
    assert all(entry.source and entry.licence for entry in manifest())


def test_the_simulated_capture_is_what_the_simulator_says() -> None:
    assert (FIXTURES / "sim_alpha.hb").read_bytes() == sim_alpha()
