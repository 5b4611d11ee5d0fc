"""The book screen on a pseudo-terminal, key by key; and recorded on the spot."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import LONGEST, wait_until
from terminal import COLOUR, Terminal

from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.view.painter import ENTER, LEAVE
from mdtool.view.screen import ALL_KEYS

T0 = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
BOOK = b'{"lastUpdateId":10,"bids":[["99.5","1"],["99.4","2"],["99.2","4"]],"asks":[["100.5","2"],["100.7","1"]]}'
POSITION = re.compile(r"\x1b\[(\d+);1H")


def update(first: int, last: int, bids: str = "[]", asks: str = "[]") -> bytes:
    head = (
        f'{{"stream":"alphausdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"ALPHAUSDT","U":{first},"u":{last},'
    )
    return f'{head}"b":{bids},"a":{asks}}}}}'.encode()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two symbols; the first has ten updates, one a second, of which the ninth is missing."""
    with Store.create(tmp_path / "store") as made:
        for symbol in ("ALPHA_USDT", "BRAVO_USDT"):
            with made.writer(f"sim/{symbol}") as writer:
                depth = writer.stream("depth@100ms")
                writer.append(T0, Kind.RESPONSE, writer.stream("snapshot"), 0, BOOK)
                for number in [*range(8), 9]:
                    payload = update(11 + number, 11 + number, f'[["99.6","{number + 1}"]]')
                    writer.append(T0 + (number + 1) * SECOND, Kind.DATA, depth, 1, payload)
    return tmp_path / "store"


class Screen:
    """What a terminal shows after what the program has written."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    @property
    def lines(self) -> dict[int, str]:
        """Line by number, the last that was written there."""
        pieces = POSITION.split(self.terminal.text)
        found = {}
        for number, text in zip(pieces[1::2], pieces[2::2], strict=True):
            found[int(number)] = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).rstrip()
        return found

    def shows(self, *texts: str, seconds: float = LONGEST) -> bool:
        """Whether all of these come to be seen."""

        def there(_: str) -> bool:
            return all(any(text in line for line in self.lines.values()) for text in texts)

        self.terminal.read(there, seconds)
        return there("")

    def press(self, keys: str, *texts: str) -> None:
        self.terminal.press(keys)
        assert self.shows(*texts), (keys, texts, self.lines)


def test_every_key(store: Path) -> None:
    terminal = Terminal(["--store", store, "book", "sim/ALPHA_USDT", "--at", "first+3s"])
    screen = Screen(terminal)
    assert screen.shows("sim/ALPHA_USDT", "SYNCED", "at 2025-10-09 08:53:23.000 UTC", "99.6     3", "PAST")
    screen.press(".", "99.6     4", "08:53:24.000")
    screen.press(",", "99.6     3", "08:53:23.000")
    screen.press(",", "99.6     2")
    screen.press("]", "99.6     3")
    screen.press("[", "08:53:22.000")
    screen.press("x", "DIRTY  since 08:53:30.000: gap", "1 gap")
    screen.press("x", "no gap after this")
    screen.press("{", "at 2025-10-09 08:53:20.000 UTC")
    screen.press("}", "at 2025-10-09 08:53:30.000 UTC")
    screen.press("[", "SYNCED", "99.6     8")
    screen.press("g", "levels of 2 ticks", "by 0.2")
    screen.press("G", "one level a price")
    screen.press("-", "99.5     1")
    screen.press("n", "sim/BRAVO_USDT", "at 2025-10-09 08:53:29.000 UTC")
    screen.press("\x1b[D", "sim/ALPHA_USDT")
    screen.press(" ", "PAUSED")
    screen.press("l", "STALE", "no recorder", "q quit")
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.text.rstrip().endswith(LEAVE.strip())


def test_pause_holds_the_picture(store: Path) -> None:
    with Store.create(store) as opened, opened.writer("sim/BRAVO_USDT") as writer:
        depth = writer.stream("depth@100ms")
        writer.append(time.time_ns(), Kind.RESPONSE, writer.stream("snapshot"), 0, BOOK.replace(b"10,", b"30,"))
        writer.append(time.time_ns(), Kind.DATA, depth, 1, update(31, 31, '[["99.6","5"]]'))
        screen = Screen(Terminal(["--store", store, "book", "sim/BRAVO_USDT"]))
        assert screen.shows("99.6     5")
        screen.press(" ", "PAUSED")
        writer.append(time.time_ns(), Kind.DATA, depth, 1, update(32, 32, '[["99.6","7"]]'))
        assert not screen.shows("99.6     7", seconds=0.6)
        screen.press(" ", "99.6     7", "▴")
        screen.terminal.press("q")
        assert screen.terminal.end() == 0


def test_only_what_changed_is_written(store: Path) -> None:
    with Store.create(store) as opened, opened.writer("sim/BRAVO_USDT") as writer:
        screen = Screen(
            Terminal(["--store", store, "book", "sim/BRAVO_USDT", "--at", "first+3s"], columns=120, lines=40)
        )
        assert screen.shows("99.6     3", "all 3.0 s", "q quit")
        # A moment of the past stands still: once it is drawn, nothing is written twice.
        drawn = [len(screen.terminal.read(lambda text: False, 1.0)) for _ in range(3)]
        assert drawn[1] == drawn[2]
        writer.end(time.time_ns(), "test")
        screen.terminal.press("q")
        assert screen.terminal.end() == 0


def test_the_size_of_the_terminal_is_followed(store: Path) -> None:
    terminal = Terminal(["--store", store, "book", "sim/ALPHA_USDT", "--at", "first+3s"], NO_COLOR="1")
    screen = Screen(terminal)
    assert screen.shows("q quit")
    assert max(screen.lines) == 24
    termios.tcsetwinsize(terminal.fd, (40, 150))
    assert screen.shows("touch", "microprice", "next gap")
    assert max(screen.lines) == 40
    termios.tcsetwinsize(terminal.fd, (10, 40))
    mark = len(terminal.text)
    terminal.read(lambda text: "quit" in text[mark:])
    assert "\x1b[2J" in terminal.text[mark:]
    assert not COLOUR.search(terminal.text)
    os.kill(terminal.process.pid, 15)
    assert terminal.end() == 0
    assert terminal.text.rstrip().endswith(LEAVE.strip())


@pytest.fixture
def exchange() -> Iterator[str]:
    """The synthetic exchange as a process; its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mdtool", "sim", "--port", "0", "--symbols", "ALPHA_USDT"],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        found = re.search(r"ws://\S+:\d+", process.stderr.readline())
        assert found
        yield found[0]
    finally:
        process.terminate()
        process.communicate()


def test_recorded_on_the_spot_for_as_long_as_it_is_looked_at(exchange: str, tmp_path: Path) -> None:
    store = tmp_path / "new"
    screen = Screen(Terminal(["--store", store, "book", "ALPHAUSDT", "--live", "sim", "--url", exchange]))
    assert screen.shows("sim/ALPHA_USDT", "WAITING")
    assert screen.shows("SYNCED", "bought" if "bought" in screen.terminal.text else "trades")
    screen.terminal.press("q")
    assert screen.terminal.end() == 0
    with Store.open(store) as made, made.reader("sim/ALPHA_USDT") as reader:
        kinds = [record.kind for record in reader.records()]
        assert kinds[-1] == Kind.END and reader.ended


def test_a_recorder_that_fails_says_why(tmp_path: Path) -> None:
    screen = Screen(
        Terminal(["--store", tmp_path / "new", "book", "ALPHAUSDT", "--live", "sim", "--url", "ws://127.0.0.1:1"])
    )
    assert screen.shows("WAITING  for source", "recording has ended: mdtool:")
    screen.terminal.press("q")
    assert screen.terminal.end() == 0


def test_what_the_venue_refuses_is_said_and_not_waited_for(exchange: str, tmp_path: Path) -> None:
    screen = Screen(Terminal(["--store", tmp_path / "new", "book", "NOPEUSDT", "--live", "sim", "--url", exchange]))
    assert screen.shows("WAITING", "recording has ended: mdtool: sim: NOPE_USDT depth@100ms: refused")
    screen.terminal.press("q")
    assert screen.terminal.end() == 0


def test_live_once_prints_what_there_is(mdtool, tmp_path: Path, store: Path) -> None:
    several = json.loads(mdtool("--store", store, "book", "ALPHA_USDT", "--venues", "sim", "--json").out)
    assert several["feed"] == "sim/ALPHA_USDT"
    with Store.create(store) as opened, opened.writer("binance/ALPHA_USDT") as writer:
        depth = writer.stream("depth@100ms")
        writer.append(T0 + 9 * SECOND, Kind.RESPONSE, writer.stream("snapshot"), 0, BOOK.replace(b"99.5", b"99.9"))
        writer.append(T0 + 10 * SECOND, Kind.DATA, depth, 1, update(11, 11))
    both = json.loads(
        mdtool("--store", store, "book", "ALPHA_USDT", "--venues", "all", "--json", "--at", "first+8s").out
    )
    assert [one["feed"] for one in both["books"]] == ["binance/ALPHA_USDT", "sim/ALPHA_USDT"]
    assert both["best"]["bid"] == {"price": "99.6", "size": "8", "venues": ["sim"]}
    late = json.loads(mdtool("--store", store, "book", "ALPHA_USDT", "--venues", "all", "--json").out)
    assert [one["state"] for one in late["books"]] == ["stale", "stale"]
    assert [one["book_state"] for one in late["books"]] == ["synced", "dirty"]
    assert late["best"]["bid"] == {"price": "99.9", "size": "1", "venues": ["binance"]}


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_all_keys_are_shown_and_the_key_line_fits(store: Path, columns: int, lines: int) -> None:
    terminal = Terminal(["--store", store, "book", "sim/ALPHA_USDT", "--at", "first+3s"], columns=columns, lines=lines)
    screen = Screen(terminal)
    assert screen.shows("l live", "? keys", "q quit")
    screen.press("?", *(what for _, what in ALL_KEYS), "l live")
    mark = len(terminal.text)
    terminal.press("n")  # any key: only back
    assert "99.6" in terminal.read(lambda text: "99.6" in text[mark:])[mark:]
    assert any("sim/ALPHA_USDT" in line for line in screen.lines.values())
    terminal.press("?")
    terminal.press("q")
    assert terminal.end() == 0


def state_of(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def after(terminal: Terminal, number: signal.Signals, text: str) -> str:
    """What is written after a signal, until a text is there."""
    mark = len(terminal.text)
    terminal.process.send_signal(number)

    def there(written: str) -> bool:
        new = written[mark:]
        return text in new or text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new)

    return terminal.read(there)[mark:]


def test_left_for_a_while_and_come_back_to(store: Path) -> None:
    """What Ctrl-Z and fg do: the terminal is as it was found while the program is stopped, and the screen comes back
    whole."""
    terminal = Terminal(["--store", store, "book", "sim/ALPHA_USDT", "--at", "first+3s"])
    screen = Screen(terminal)
    assert screen.shows("99.6     3", "q quit")
    for _ in range(2):
        assert termios.tcgetattr(terminal.fd) != terminal.before
        left = after(terminal, signal.SIGTSTP, LEAVE)
        wait_until(lambda: state_of(terminal.process) == "T")
        assert termios.tcgetattr(terminal.fd) == terminal.before
        assert left.endswith(LEAVE)
        again = after(terminal, signal.SIGCONT, "l live")
        assert again.startswith(ENTER)
        assert {int(line) for line in POSITION.findall(again)} == set(range(1, 25))
    screen.press(".", "99.6     4")
    terminal.press("q")
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.fd) == terminal.before
