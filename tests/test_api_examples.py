"""The examples in the docstrings of the Python API run, and print what they say they print."""

from __future__ import annotations

import doctest
import inspect

import pytest

import mdtool
from mdtool.model import Kind, Scale
from mdtool.storage.contents import Contents
from mdtool.storage.store import Store

START = 1_760_000_000_000_000_000
WITH_EXAMPLES = {
    "mdtool": mdtool,
    "Store": mdtool.Store,
    "Writer": mdtool.Writer,
    "Reader": mdtool.Reader,
    "Reader.detect_disconnect": Contents.detect_disconnect,
    "Batch": mdtool.Batch,
    "Cursor": mdtool.Cursor,
    "FanIn": mdtool.FanIn,
    "discover": mdtool.discover,
}


@pytest.fixture
def store(tmp_path):
    """What the examples call `store`: two feeds, ended."""
    with Store.create(tmp_path / "md") as made:
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


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(store, name):
    text = inspect.getdoc(WITH_EXAMPLES[name])
    test = doctest.DocTestParser().get_doctest(text, {"mdtool": mdtool, "store": store}, name, None, None)
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
        for owner in (mdtool.Store, mdtool.Reader, mdtool.Writer, mdtool.Cursor, mdtool.FanIn)
        for name, member in inspect.getmembers(owner)
        if not name.startswith("_") and callable(member) and not inspect.getdoc(member)
    ]
    assert undocumented == []
