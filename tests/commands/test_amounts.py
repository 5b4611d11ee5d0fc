"""How far something long has come: the amounts that progress lines are made of."""

from __future__ import annotations

import re

import pytest
from terminal import Terminal

from mdtool.clock import SECOND
from mdtool.commands.tasks import book
from mdtool.commands.tasks.amounts import Sum, bytes_between, measured
from mdtool.commands.tasks.sealing import seal_feeds
from mdtool.commands.tasks.upkeep import counter, payload_bytes, verify_store
from mdtool.commands.tasks.watch import Watch
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"


def whole(store) -> int:
    with store.reader(FEED) as reader:
        return sum(record.length for record in reader.records())


def test_of_a_stretch_of_time(alpha) -> None:
    with Store.open(alpha) as store, store.reader(FEED) as reader:
        total = whole(store)
        first, last = reader.first_ns, reader.last_ns
        assert bytes_between([reader]) == bytes_between([reader, reader]) // 2 == total
        assert bytes_between([reader], first, last) == total
        assert abs(bytes_between([reader], (first + last) // 2) - total / 2) <= 1
        assert bytes_between([reader], last + SECOND) == bytes_between([reader], None, first - 1) == 0


def test_a_sum_never_says_more_than_all() -> None:
    said: list[tuple[int, int | None]] = []
    for total in (5, None):
        done = Sum(lambda *one: said.append(one), total)
        done(3)
        done(4)
    assert said == [(3, 5), (7, 7), (3, None), (7, None)]


def test_what_goes_through_an_encoder_is_told(alpha) -> None:
    said: list[tuple[int, int | None]] = []
    with Store.open(alpha) as store, store.reader(FEED) as reader:
        records = [(reader, record) for record in reader.records()]
        encode = measured(lambda some: b"%d" % len(some), 10**6, lambda *one: said.append(one))
        assert encode(records[:2]) + encode(records[2:]) == b"2%d" % (len(records) - 2)
        assert said[-1] == (whole(store), 10**6)


def test_verify_and_seal_end_at_what_there_is(alpha) -> None:
    with Store.open(alpha) as store:
        total = whole(store)
        feeds = store.feeds()
    assert payload_bytes(alpha, ()) == payload_bytes(alpha, ["alphausdt"]) == total
    assert payload_bytes(alpha / "none", ()) is None
    said: list[tuple[int, int | None]] = []
    verify_store(alpha, None, counter(lambda *one: said.append(one), total))
    assert said[-1] == (total, total)
    said.clear()
    list(seal_feeds(feeds, everything=True, dry_run=False, told=lambda *one: said.append(one)))
    assert said[-1] == (total, total)


LINES = {
    "audit": r"audited: \S+B of 80KiB",
    "verify": r"checked: \S+B of 80KiB",
    "repair": r"checked: \S+B of 80KiB",
    "seal": r"sealed: \S+B of 80KiB",
}


@pytest.mark.parametrize("command", LINES)
def test_on_a_terminal_a_line_says_so_and_is_gone_in_the_end(alpha, command) -> None:
    options = ["--all"] if command == "seal" else []
    terminal = Terminal(["--store", alpha, command, *options])
    assert terminal.end() == 0
    assert re.search(rf"\r\x1b\[K{LINES[command]}", terminal.text)
    assert terminal.text.count("\r\x1b[K") >= 2
    assert not re.search(LINES[command], terminal.text.rpartition("\r\x1b[K")[2])


def test_how_far_a_book_is_read_is_told_and_of_how_much(alpha, monkeypatch) -> None:
    monkeypatch.setattr(book, "TOLD_EVERY", 100)
    said: list[tuple[int, int | None]] = []
    at_ns = 1_760_000_002 * SECOND

    def told(done: int, total: int | None) -> None:
        said.append((done, total))

    with Store.open(alpha) as store, Watch(store, FEED, at_ns=at_ns, told=told) as watch:
        assert watch.start()
        with store.reader(FEED) as reader:
            total = sum(record.recv_ns <= at_ns for record in reader.records())
        assert said == [(done, total) for done in range(100, total + 1, 100)]
        assert watch.follower is not None
        watch.follower.go_to(at_ns - SECOND)
        assert said[-1] == (total // 100 * 100, total)  # on the screen there is no line for it
        days: list[tuple[int, int | None]] = []
        watch.read_whole_day(lambda *one: days.append(one))
        assert watch.picture(1).day is not None
