"""A recording of a storm, held to what the exchange knows: its own messages, the faults it made, the frames it handed
over. Read in plain Python: of mdtool only the bytes of records are taken, and what its audit says.

The exchange of a seed says the same each time it is asked, so its messages are not kept but asked for again.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger import Ledger, digest
from storming import MILLISECOND, Storming, Weather

from mdtool.exchange.simulator import Message, SimulatedBook
from mdtool.model import Kind
from mdtool.storage.store import Store

Ids = tuple[int, int]  # first and last
Key = tuple[str, str]  # symbol and stream


def ids(message: bytes) -> Ids:
    """The first and last id of a message in Binance's form."""
    data = json.loads(message)["data"]
    if data.get("e") == "depthUpdate":
        return data["U"], data["u"]
    number = data["t"] if data.get("e") == "trade" else data["u"]
    return number, number


@dataclass
class Told:
    """What the exchange said of one stream, in order."""

    ids: list[Ids] = field(default_factory=list)
    digests: array[int] = field(default_factory=lambda: array("Q"))
    times: array[int] = field(default_factory=lambda: array("q"))  # the exchange's, ns


def everything(weather: Weather, came: Storming) -> Iterator[Message]:
    exchange = weather.exchange(came.start_ns)
    while exchange.now_ns < came.end_ns:
        yield from exchange.step(min(came.end_ns, exchange.now_ns + 1000 * MILLISECOND))


def told(weather: Weather, came: Storming, streams: frozenset[str]) -> dict[Key, Told]:
    found: dict[Key, Told] = defaultdict(Told)
    for message in everything(weather, came):
        if message.stream in streams:
            stream = found[message.symbol, message.stream]
            stream.ids.append(ids(message.payload))
            stream.digests.append(digest(message.payload))
            stream.times.append(message.venue_ns)
    return dict(found)


@dataclass
class Stored:
    """What is recorded: digests by feed and stream with their sessions, and by session in the order they came."""

    streams: dict[Key, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))  # (time, digest)


def stored(path: Path) -> Stored:
    found = Stored()
    with Store.open(path) as store:
        for feed in store.feeds():
            with store.reader(feed.name) as reader:
                for record in reader.records():
                    stream = reader.stream_name(record.stream)
                    if record.kind == Kind.DATA and stream != "ping":
                        one = digest(record.payload)
                        found.streams[feed.symbol, stream].append((one, record.session))
                        found.sessions[record.session].append((record.recv_ns, one))
    return found


def frames_missing(found: Stored, ledger: Ledger) -> list[str]:
    """Each connection is recorded as it was sent, from its first frame on; the last one to its last frame, one that was
    cut to where the cut was. What is otherwise."""
    wrong = []
    connections = {number: frames for number, frames in ledger.sent.items() if frames}
    last = max(connections)
    for session, came in sorted(found.sessions.items()):
        frames = array("Q", [one for _, one in sorted(came)])
        match = next((number for number, sent in connections.items() if sent[: len(frames)] == frames), None)
        if match is None:
            wrong.append(f"session {session}: its {len(frames)} frames are none that one connection was sent")
            continue
        sent = connections.pop(match)
        if match == last and len(sent) != len(frames):
            wrong.append(f"session {session}: {len(frames)} frames of {len(sent)}")
    return wrong + [f"connection {number} is not recorded" for number in connections]


@dataclass
class Course:
    """One stream's course in the recording, against what the exchange said."""

    lost: list[Ids] = field(default_factory=list)  # said between the first and the last that are there, and not there
    repeated: list[Ids] = field(default_factory=list)
    late: list[Ids] = field(default_factory=list)
    missed: list[Ids] = field(default_factory=list)  # what was not there when its turn was: lost, or late
    unexplained: list[str] = field(default_factory=list)
    newest: int = -1  # which of the exchange's messages is the latest of those that are there

    @property
    def gaps(self) -> list[Ids]:
        """Stretches that were not there when their turn was, and of which something never came."""
        return [span for span in spans(self.missed) if any(span[0] <= one[0] <= span[1] for one in self.lost)]


def course(truth: Told, records: list[tuple[int, int]], injected: dict[str, set[Ids]]) -> Course:
    """Of one stream. Whatever is amiss is so by a fault that was injected; what is lost without one, was lost where the
    connection changed."""
    number_of = {one: number for number, one in enumerate(truth.digests)}
    numbers = [(number_of[one], session) for one, session in records if one in number_of]
    result = Course()
    seen: set[int] = set()
    session_of: dict[int, int] = {}
    for number, session in numbers:
        if number in seen:
            result.repeated.append(truth.ids[number])
        elif number < result.newest:
            result.late.append(truth.ids[number])
            if number > numbers[0][0]:
                result.missed.append(truth.ids[number])
        seen.add(number)
        session_of.setdefault(number, session)
        result.newest = max(result.newest, number)
    if not seen:
        return result
    there = sorted(seen)
    for number in range(there[0], there[-1]):
        if number in seen:
            continue
        result.lost.append(truth.ids[number])
        result.missed.append(truth.ids[number])
        after = bisect_left(there, number)
        parted = session_of[there[after - 1]] != session_of[there[after]]
        if not parted and truth.ids[number] not in injected["drop"] | injected["corrupt"]:
            result.unexplained.append(f"{truth.ids[number]} is lost, and no fault was")
    result.unexplained += [
        f"{one} is repeated, and was not" for one in result.repeated if one not in injected["repeat"]
    ]
    result.unexplained += [f"{one} is late, and was not" for one in result.late if one not in injected["swap"]]
    lost = set(result.lost)
    first, last = truth.ids[there[0]], truth.ids[there[-1]]
    for one in injected["drop"] | injected["corrupt"]:
        if first < one < last and one not in lost:
            result.unexplained.append(f"{one} was lost on purpose, and is there")
    return result


def true_books(weather: Weather, came: Storming, ids: dict[str, int]) -> dict[str, SimulatedBook]:
    """The exchange's own book of each symbol behind an id."""
    exchange = weather.exchange(came.start_ns, keep_truth=True)
    exchange.step(came.end_ns)
    return {symbol: exchange.truth(symbol).at(last) for symbol, last in ids.items()}


def by_stream(ledger: Ledger) -> dict[Key, dict[str, set[Ids]]]:
    found: dict[Key, dict[str, set[Ids]]] = defaultdict(lambda: defaultdict(set))
    for fault in ledger.injected:
        found[fault.symbol, fault.stream][fault.fault].add(ids(fault.payload))
    return found


def spans(some: list[Ids]) -> list[Ids]:
    """Ids as stretches without a hole."""
    joined: list[Ids] = []
    for first, last in sorted(some):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def audited(report: dict[str, Any]) -> tuple[dict[Key, dict[str, list[Ids]]], Counter[str], Counter[str]]:
    """What an audit says: by stream the ids it calls missing, repeated and late; how many frames it could not decode;
    and whatever else it found."""
    found: dict[Key, dict[str, list[Ids]]] = defaultdict(lambda: {"missing": [], "again": [], "late": []})
    undecodable: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for feed in report["feeds"]:
        symbol = feed["feed"].partition("/")[2]
        for finding in feed["findings"]:
            said = found[symbol, finding["stream"]]
            match finding["kind"]:
                case "gap":
                    said["missing"].append((finding["after_seq"] + 1, finding["next_first_seq"] - 1))
                case "duplicate":
                    said["again"].append((finding["first_seq"], finding["last_seq"]))
                case "out_of_order":
                    said["late"].append((finding["first_seq"], finding["last_seq"]))
                case "undecodable":
                    undecodable[symbol] += finding["count"]
                case kind:
                    other[f"{symbol}: {kind}: {finding['text']}"] += 1
    return dict(found), undecodable, other
