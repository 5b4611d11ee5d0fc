"""The socket of a recorder against those who use it and those who abuse it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat

import pytest
from patience import until

from mdtool.errors import MdtoolError, UsageError
from mdtool.service import control as module
from mdtool.service.control import (
    LONGEST_BACKLOG,
    LONGEST_LINE,
    MOST_KEPT,
    MOST_TALKERS,
    SUPERVISED,
    Control,
    Ping,
    Reload,
    Snapshot,
    Stop,
    ask,
    short,
)


class Orders:
    """What was ordered; each is done once `free` is set."""

    def __init__(self):
        self.got = []
        self.supervised = []
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, request):
        self.got.append(request)
        await self.free.wait()
        if isinstance(request, Snapshot) and request.symbols == ("NONE",):
            raise UsageError("NONE is not recorded")
        if isinstance(request, Snapshot) and request.symbols == ("ODD",):
            raise KeyError("of the venue")
        return {"symbols": getattr(request, "symbols", ())}


class Talker:
    """A line at a time."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def say(self, **line):
        self.writer.write(json.dumps(line).encode() + b"\n")
        await self.writer.drain()

    async def hear(self):
        """What comes next; None: it was let go."""
        line = b""
        with contextlib.suppress(ConnectionError):
            line = await self.reader.readline()
        return json.loads(line) if line else None

    async def asked(self, **line):
        await self.say(**line)
        return await self.hear()


async def talker(path, limit=2**16):
    with short(path) as name:
        return Talker(*await asyncio.open_unix_connection(name, limit=limit))


def served(path, work):
    """What `work(control, orders)` returns, which runs while the socket is there."""

    async def main():
        orders = Orders()
        async with Control(path, orders, orders.supervised.append) as control:
            return await work(control, orders)

    return asyncio.run(main())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sim.sock"


def test_each_request_is_answered(path):
    async def work(control, orders):
        one = await talker(path)
        assert await one.asked(do="ping") == {"ok": True, "supervised": False}
        assert await one.asked(do="snapshot", symbols=["A_B"]) == {"ok": True, "symbols": ["A_B"]}
        assert await one.asked(do="snapshot", symbols=["NONE"]) == {"error": "NONE is not recorded"}
        assert await one.asked(do="snapshot", symbols=["ODD"]) == {"error": "KeyError: 'of the venue'"}
        assert await one.asked(do="reload", symbols=["A_B"]) == {"ok": True, "symbols": ["A_B"]}
        assert await one.asked(do="stop", why="enough") == {"ok": True, "symbols": []}
        return orders.got

    got = served(path, work)
    assert got[-2:] == [Reload(("A_B",)), Stop("enough")]


def test_the_socket_is_this_users_alone_and_goes_with_its_process(path):
    async def work(control, orders):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.write_text("left by an earlier one")
    served(path, work)
    assert not path.exists()


def test_a_path_longer_than_a_socket_may_have_is_spoken_to(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    async def work(control, orders):
        return await asyncio.to_thread(ask, deep / "sim.sock", Ping())

    assert served(deep / "sim.sock", work) == {"ok": True, "supervised": False}


def test_asking(path):
    with pytest.raises(MdtoolError, match=r"sim\.sock: No such file or directory$"):
        ask(path, Ping())
    path.write_text("")
    with pytest.raises(MdtoolError, match=r"sim\.sock: Connection refused$"):
        ask(path, Ping())

    async def work(control, orders):
        with pytest.raises(MdtoolError, match=r"^NONE is not recorded$"):
            await asyncio.to_thread(ask, path, Snapshot(("NONE",)))
        orders.free.clear()
        with pytest.raises(MdtoolError, match=r"sim\.sock: no answer within 0\.05 s$"):
            await asyncio.to_thread(ask, path, Snapshot(), 0.05)

    served(path, work)

    async def mute():
        async def leave(reader, writer):
            await reader.readline()
            writer.close()

        path.unlink(missing_ok=True)
        async with await asyncio.start_unix_server(leave, path):
            with pytest.raises(MdtoolError, match=r"sim\.sock: ended before it answered$"):
                await asyncio.to_thread(ask, path, Ping())

    asyncio.run(mute())


def test_who_follows_hears_what_was_and_what_comes(path):
    async def work(control, orders):
        control.tell("gap", "one", 11)
        control.tell("gap", "two", 12)
        early, late = await talker(path), await talker(path)
        await early.say(do="follow")
        await late.say(do="follow", after=1)
        heard = [await early.hear(), await early.hear()], [await late.hear()]
        control.tell("stopping", "three", 13)
        return [*heard[0], await early.hear()], [*heard[1], await late.hear()]

    early, late = served(path, work)
    assert early == [
        {"number": 1, "at_ns": 11, "event": "gap", "text": "one"},
        {"number": 2, "at_ns": 12, "event": "gap", "text": "two"},
        {"number": 3, "at_ns": 13, "event": "stopping", "text": "three"},
    ]
    assert late == early[1:]


def test_what_was_not_kept_is_counted(path):
    async def work(control, orders):
        for number in range(MOST_KEPT + 3):
            control.tell("gap", str(number), number)
        one, two = await talker(path), await talker(path)
        await one.say(do="follow", after=1)
        await two.say(do="follow", after=2**53)
        first = await one.hear(), await one.hear()
        control.tell("gap", "new", 0)
        return first, await two.hear()

    (lost, event), new = served(path, work)
    assert (lost, event["number"], new["number"]) == ({"lost": 2}, 4, MOST_KEPT + 4)


def test_who_does_not_read_loses_lines_and_is_told_how_many(path):
    async def work(control, orders):
        slow = await talker(path)
        await slow.say(do="follow")
        await until(lambda: any(one.follows for one in control._talkers))
        told, text = 0, "x" * 4096
        (known,) = control._talkers
        while known.lost < 10:
            control.tell("gap", text, told)
            told += 1
            await asyncio.sleep(0)
        assert known.writer.transport.get_write_buffer_size() < LONGEST_BACKLOG + 2 * len(text)
        numbers, lost = [], 0
        while not numbers or numbers[-1] < told:
            if known.writer.transport.get_write_buffer_size() == 0 and not lost:
                control.tell("gap", text, told)
                told += 1
            said = await slow.hear()
            lost += said.get("lost", 0)
            numbers += [said["number"]] if "number" in said else []
        return numbers, lost, told

    numbers, lost, told = served(path, work)
    assert len(numbers) + lost == told
    assert numbers == sorted(set(numbers))
    missing = set(range(1, told + 1)) - set(numbers)
    assert len(missing) == lost >= 10


GARBAGE = [
    b"\n",
    b"hello\n",
    b"\xff\xfe\x00\n",
    b'{"do":"shutdown"}\n',
    b'{"do":"follow","after":"x"}\n',
    b'{"do":"reload"}\n',
    b"[" * 10_000 + b"\n",
    b'{"do":"snapshot","symbols":' + b"[" * 50_000 + b"\n",
]


@pytest.mark.parametrize("line", GARBAGE)
def test_what_is_no_request_is_said_and_its_talker_let_go(path, line):
    async def work(control, orders):
        one, other = await talker(path), await talker(path)
        one.writer.write(line)
        said = await one.hear(), await one.hear()
        assert await other.asked(do="ping") == {"ok": True, "supervised": False}
        return said

    said, end = served(path, work)
    assert said["error"].startswith("no request: ")
    assert end is None


def test_a_line_without_end_is_not_kept(path):
    async def work(control, orders):
        one = await talker(path)
        with contextlib.suppress(ConnectionError):
            for _ in range(4 * LONGEST_LINE // 4096):
                one.writer.write(b"x" * 4096)
                await one.writer.drain()
        assert await one.hear() is None
        other = await talker(path)
        return await other.asked(do="ping")

    assert served(path, work) == {"ok": True, "supervised": False}


def test_a_hundred_connections_that_say_nothing_keep_nobody_out(path):
    async def work(control, orders):
        follower = await talker(path)
        await follower.say(do="follow", supervisor=True)
        await until(lambda: control.supervised)
        crowd = [await talker(path) for _ in range(100)]
        one = await talker(path)
        assert await one.asked(do="ping") == {"ok": True, "supervised": True}
        assert len(control._talkers) <= MOST_TALKERS
        control.tell("gap", "still told", 1)
        assert (await follower.hear())["text"] == "still told"
        gone = [await one.hear() for one in crowd[: 102 - MOST_TALKERS]]
        return set(gone)

    assert served(path, work) == {None}


def test_who_waits_for_what_it_asked_for_is_not_let_go(path, monkeypatch):
    monkeypatch.setattr(module, "MOST_TALKERS", 2)

    async def work(control, orders):
        orders.free.clear()
        busy = [await talker(path) for _ in range(2)]
        for one in busy:
            await one.say(do="snapshot", symbols=["A_B"])
        await until(lambda: len(orders.got) == 2)
        assert await (await talker(path)).hear() is None
        orders.free.set()
        return [await one.hear() for one in busy]

    assert served(path, work) == [{"ok": True, "symbols": ["A_B"]}] * 2


def test_a_flood_of_requests_leaves_the_loop_to_others(path, monkeypatch):
    """One a pause, whatever waits: between two of them everybody else has a turn."""
    monkeypatch.setattr(module, "PAUSE", 3600.0)

    async def work(control, orders):
        one = await talker(path)
        one.writer.write(b'{"do":"ping"}\n' * 1000 + b'{"do":"follow"}\n' * 1000)
        first = await one.hear()
        assert await (await talker(path)).asked(do="ping") == first
        return first

    assert served(path, work) == {"ok": True, "supervised": False}


def test_following_twice_is_refused(path):
    async def work(control, orders):
        one = await talker(path)
        await one.say(do="follow")
        await one.say(do="follow")
        return await one.hear(), await one.hear()

    assert served(path, work) == ({"error": "asked to follow twice"}, None)


def test_there_is_one_who_keeps_it_running(path):
    async def work(control, orders):
        one, two = await talker(path), await talker(path)
        await one.say(do="follow", supervisor=True)
        await until(lambda: control.supervised)
        refused = await two.asked(do="follow", supervisor=True), await two.hear()
        assert orders.supervised == [True]
        one.writer.close()
        await until(lambda: not control.supervised)
        three = await talker(path)
        await three.say(do="follow", supervisor=True)
        await until(lambda: control.supervised)
        return refused, list(orders.supervised)

    assert served(path, work) == (({"error": SUPERVISED}, None), [True, False, True])


def test_a_talker_that_dies_in_the_middle_of_an_order_changes_nothing(path):
    async def work(control, orders):
        orders.free.clear()
        one = await talker(path)
        await one.say(do="snapshot", symbols=["A_B"])
        await until(lambda: orders.got)
        one.writer.close()
        orders.free.set()
        await until(lambda: not control._talkers)
        return await (await talker(path)).asked(do="ping")

    assert served(path, work) == {"ok": True, "supervised": False}


def test_what_is_open_at_the_end_is_closed(path):
    before = len(os.listdir("/proc/self/fd"))

    async def main():
        orders = Orders()
        async with Control(path, orders, orders.supervised.append) as control:
            one, two = await talker(path), await talker(path)
            await one.say(do="follow", supervisor=True)
            await until(lambda: control.supervised)
        heard = await one.hear(), await two.hear()
        for each in (one, two):
            each.writer.close()
            await each.writer.wait_closed()
        return heard, orders.supervised

    assert asyncio.run(main()) == ((None, None), [True, False])
    assert len(os.listdir("/proc/self/fd")) == before
