"""The examples in the docstrings of the Python API run, and print what they say they print."""

from __future__ import annotations

import doctest
import inspect
from datetime import UTC, datetime

import pytest

import mdtool
from mdtool.model import Kind, Scale
from mdtool.storage.reading.contents import Contents

START = 1_760_000_000_000_000_000
WITH_EXAMPLES = {
    "mdtool": mdtool,
    "Store": mdtool.Store,
    "Writer": mdtool.Writer,
    "Reader": mdtool.Reader,
    "Reader.detect_disconnect": Contents.detect_disconnect,
    "Batch": mdtool.Batch,
    "Book": mdtool.Book,
    "Cursor": mdtool.Cursor,
    "FanIn": mdtool.FanIn,
    "discover": mdtool.discover,
    "events": mdtool.events,
}


@pytest.fixture
def store(tmp_path):
    """What the examples call `store`: two feeds, ended."""
    with mdtool.Store.create(tmp_path / "md") as made:
        with made.writer("sim/ALPHA_USDT") as writer:
            trade, session = writer.stream("trade"), writer.stream("session")
            writer.append(START, Kind.DATA, trade, 1, b'{"p":"64.2","q":"1"}')
            writer.append(START + 250_000_000, Kind.DATA, trade, 1, b'{"p":"64.3","q":"2"}')
            writer.append(START + 500_000_000, Kind.NOTE, session, 1, b'{"note":"half way"}')
            writer.end(START + 1_000_000_000, "done")
        made.set_scale("sim/ALPHA_USDT", Scale(-1, 0))
        with made.writer("sim/BRAVO_USDT") as writer:
            writer.append(START + 100_000_000, Kind.DATA, writer.stream("trade"), 1, b'{"p":"7"}')
            writer.end(START + 900_000_000, "done")
        yield made


def add_book(made):
    """A third feed, with a book in it."""
    with made.writer("sim/CHARLIE_USDT") as writer:
        depth, whole, trade = (writer.stream(name) for name in ("depth@100ms", "snapshot", "trade"))
        update = b'{"e":"depthUpdate","E":1,"s":"X","U":11,"u":12,"b":[["64.5","3.0"]],"a":[]}'
        writer.append(START, Kind.DATA, depth, 1, update)
        rest = b'{"lastUpdateId":10,"bids":[["64.5","1"],["64.0","4.5"]],"asks":[["64.7","2"]]}'
        writer.append(START + 300_000_000, Kind.RESPONSE, whole, 1, rest)
        deal = b'{"e":"trade","E":1,"s":"X","t":7,"p":"64.7","q":"1.0","T":1,"m":false}'
        writer.append(START + 400_000_000, Kind.DATA, trade, 1, deal)
        update = b'{"e":"depthUpdate","E":1,"s":"X","U":13,"u":14,"b":[],"a":[["64.6","0.5"]]}'
        writer.append(START + 600_000_000, Kind.DATA, depth, 1, update)
        writer.end(START + 700_000_000, "done")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(store, name):
    if name in ("Book", "events"):
        add_book(store)
    text = inspect.getdoc(WITH_EXAMPLES[name])
    test = doctest.DocTestParser().get_doctest(
        text, {"mdtool": mdtool, "store": store, "datetime": datetime, "UTC": UTC}, name, None, None
    )
    assert test.examples
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.REPORT_NDIFF)
    runner.run(test, out=said.append)
    assert not said, "".join(said)


def test_every_public_name_says_what_it_is():
    for name in mdtool.__all__:
        assert getattr(mdtool, name) is not None
        assert inspect.getdoc(getattr(mdtool, name)), name
    undocumented = [
        f"{owner.__name__}.{name}"
        for owner in (
            mdtool.Book,
            mdtool.L2Book,
            mdtool.L3Book,
            mdtool.Tops,
            mdtool.Store,
            mdtool.Reader,
            mdtool.Writer,
            mdtool.Cursor,
            mdtool.FanIn,
        )
        for name, member in inspect.getmembers(owner)
        if not name.startswith("_") and callable(member) and not inspect.getdoc(member)
    ]
    assert undocumented == []
