"""What happens on a terminal and nowhere else: colour, the live book, the progress line. On a pseudo-terminal."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from terminal import ALTERNATE, BACK, COLOUR, Terminal

from mdtool.model import Kind
from mdtool.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one feed that has a snapshot and a trade."""
    book = b'{"lastUpdateId":10,"bids":[["99.5","1"]],"asks":[["100.5","2"]]}'
    with Store.create(tmp_path / "store") as made, made.writer("sim/ALPHA_USDT") as writer:
        now_ns = time.time_ns()
        update = b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ALPHAUSDT","U":11,"u":12,'
        writer.append(now_ns, Kind.RESPONSE, writer.stream("snapshot"), 0, book)
        writer.append(now_ns, Kind.DATA, writer.stream("depth@100ms"), 1, update + b'"b":[["99.6","3"]],"a":[]}}')
    return tmp_path / "store"


def test_colour_on_a_terminal(store: Path) -> None:
    terminal = Terminal(["--store", store, "audit"])
    assert terminal.end() == 1  # the feed has no END
    assert COLOUR.search(terminal.text)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_it_is_not_wanted(store: Path, environment: dict[str, str]) -> None:
    terminal = Terminal(["--store", store, "audit"], **environment)
    assert terminal.end() == 1
    assert "1 unclean end" in terminal.text
    assert not COLOUR.search(terminal.text)


def test_tail_cuts_lines_to_the_terminal(store: Path) -> None:
    terminal = Terminal(["--store", store, "tail"], columns=70)
    assert terminal.end() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.text).splitlines()
    assert [len(line) for line in lines] == [70, 70]


def test_the_live_book_until_q(store: Path) -> None:
    terminal = Terminal(["--store", store, "book", "ALPHA_USDT"])
    screen = terminal.read(lambda text: "1 gap" in text or "0 gaps" in text)
    assert ALTERNATE in screen
    assert "STALE" in screen and "no recorder" in screen
    assert "99.6" in screen
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.text.rstrip().endswith(BACK) or BACK in terminal.text


def test_the_live_book_follows(store: Path) -> None:
    with Store.create(store) as opened, opened.writer("sim/ALPHA_USDT") as writer:
        terminal = Terminal(["--store", store, "book", "ALPHA_USDT"])
        terminal.read(lambda text: "99.6" in text)
        update = b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ALPHAUSDT","U":13,"u":13,'
        writer.append(
            time.time_ns(), Kind.DATA, writer.stream("depth@100ms"), 1, update + b'"b":[["99.7","4"]],"a":[]}}'
        )
        assert "99.7" in terminal.read(lambda text: "99.7" in text)
        writer.end(time.time_ns(), "test")
        assert "ENDED" in terminal.read(lambda text: "ENDED" in text)
        terminal.press("q")
        assert terminal.end() == 0


def test_the_live_book_interrupted_leaves_the_terminal_as_it_was(store: Path) -> None:
    terminal = Terminal(["--store", store, "book", "ALPHA_USDT"])
    terminal.read(lambda text: "99.6" in text)
    terminal.process.send_signal(2)
    assert terminal.end() == 130
    assert BACK in terminal.text
    assert "Traceback" not in terminal.text
