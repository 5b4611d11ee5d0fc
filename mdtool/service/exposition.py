"""One reading as metrics, in the words of Prometheus.

Rule: base units, names that begin with mdtool_, and nothing of a recorder that ended as it was told to. A counter
begins anew with the process that counts: the recorder's with it, `came` with the one that reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mdtool.books.phases import BookState
from mdtool.clock import SECOND
from mdtool.service import processes
from mdtool.service.health import ails, health, lacks, readiness
from mdtool.service.readings import FeedReading, Reading, RecorderReading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COMMIT_POWERS = range(8, 31)  # the bounds of its buckets: 256 ns to 1.07 s
DELAY_POWERS = range(19, 36)  # 0.5 ms to 34 s
OF_RECORDER = ("recorder", "venue")
OF_FEED = ("venue", "symbol", "recorder")

# What is said of a process, which gauge or counter of it that is, and what it is.
RECORDER_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("messages", "records", "Messages received and committed."),
    ("bytes", "payload_bytes", "Bytes of payload appended."),
    ("sessions", "sessions", "Connections that were opened."),
    ("snapshots", "snapshots", "Whole books that were fetched."),
    ("gaps", "gaps", "Gaps in the venue's sequence numbers."),
    ("acknowledged", "acknowledged", "Subscriptions the venue has acknowledged."),
)
ERRORS = {  # kind: the counter of it
    "connect": "failures",
    "refused": "refused",
    "unanswered": "unanswered",
    "undecodable": "undecodable",
    "sidecar_line": "unknown_lines",
}
FEED_COUNTERS: tuple[tuple[str, Callable[[FeedReading], int], str], ...] = (
    ("records", lambda feed: feed.came, "Records kept since this process began to look."),
    ("bytes", lambda feed: feed.came_bytes, "Bytes of payload kept since this process began to look."),
    ("gaps", lambda feed: feed.counters.gaps, "Gaps in the venue's sequence numbers, and checksums that did not hold."),
    ("resets", lambda feed: feed.counters.resets, "Sequence numbers that began anew."),
    ("snapshots", lambda feed: feed.counters.snapshots, "Whole books that were fetched."),
    ("connects", lambda feed: feed.counters.connects, "Connections that carried it."),
    ("undecodable", lambda feed: feed.counters.undecodable, "Records that could not be decoded; they are kept."),
    ("refused", lambda feed: feed.counters.refused, "Subscriptions the venue has refused."),
    ("unanswered", lambda feed: feed.counters.unanswered, "Subscriptions that had no answer in time."),
    ("early", lambda feed: feed.counters.early, "Updates that came before the venue's own time of them: clock skew."),
)
FEED_GAUGES: tuple[tuple[str, Callable[[FeedReading], float | None], str], ...] = (
    ("connections", lambda feed: feed.counters.connected, "Connections open now that carry it."),
    ("streams_missing", lambda feed: feed.counters.missing, "Planned streams neither acknowledged nor heard."),
    ("last_record_age_seconds", lambda feed: _seconds(feed.age_ns), "Since the last record was received."),
    ("epoch", lambda feed: feed.epoch, "Number of the writer's lifetime on the feed."),
    ("chunk", lambda feed: feed.chunk, "Number of the newest chunk: it grows by one with each roll."),
)


def expose(reading: Reading) -> bytes:
    """What a scrape gets."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(reading))
    return generate_latest(registry)


class _Reading(Collector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        reading = self._reading
        recorders = [one for one in reading.recorders if one.alive or not one.graceful]
        by_name = {one.name: one for one in recorders if one.alive}
        yield from _store(reading)
        yield from _recorders(recorders)
        yield from _processes(list(by_name.values()))
        yield from _feeds([(feed, by_name[feed.recorder]) for feed in reading.feeds if feed.recorder in by_name])


def _store(reading: Reading) -> Iterator[Metric]:
    yield _gauge("mdtool_healthy", "1 where no recorder has died or hangs, as /health says.", health(reading).good)
    yield _gauge("mdtool_ready", "1 where every planned stream is there, as /ready says.", readiness(reading).good)
    yield _gauge("mdtool_reading_time_seconds", "When this was read, seconds since the epoch.", reading.now_ns / SECOND)
    yield _gauge("mdtool_disk_free_bytes", "Free on the disk of the store.", reading.free_bytes)
    if reading.full_in_ns is not None:
        yield _gauge(
            "mdtool_disk_full_seconds", "Until the disk is full at the last minute's rate.", reading.full_in_ns / SECOND
        )


def _recorders(recorders: Sequence[RecorderReading]) -> Iterator[Metric]:
    alive = [one for one in recorders if one.alive]
    up = GaugeMetricFamily("mdtool_recorder_up", "1 where it lives and gives signs of life.", labels=OF_RECORDER)
    for one in recorders:
        up.add_metric(_of(one), 0 if ails(one) else 1)
    yield up
    for name, counter, what in RECORDER_COUNTERS:
        yield _counters(
            f"mdtool_recorder_{name}", what, OF_RECORDER, ((_of(one), _total(one, counter)) for one in alive)
        )
    errors = CounterMetricFamily(
        "mdtool_recorder_errors", "What went wrong and was gone on from, by kind.", labels=(*OF_RECORDER, "kind")
    )
    for one in alive:
        for kind, counter in ERRORS.items():
            errors.add_metric((*_of(one), kind), _total(one, counter))
    yield errors
    gauges: tuple[tuple[str, Callable[[RecorderReading], float | None], str], ...] = (
        ("connections", lambda one: _total(one, "connections"), "Connections open now."),
        ("feeds", lambda one: len(one.symbols), "Feeds it is to record."),
        ("start_time_seconds", lambda one: _seconds(one.started_ns), "When it began, seconds since the epoch."),
        ("heartbeat_age_seconds", lambda one: _seconds(one.beat_age_ns), "Since its last sign of life."),
        ("watched_age_seconds", lambda one: _seconds(one.watched_age_ns), "Since one of what watches its books."),
    )
    for name, value, what in gauges:
        yield _gauges(f"mdtool_recorder_{name}", what, OF_RECORDER, ((_of(one), value(one)) for one in alive))
    commit = HistogramMetricFamily(
        "mdtool_commit_seconds", "From receiving to the commit, of one record in 16.", labels=OF_RECORDER
    )
    for one in alive:
        if one.commit_ns:
            commit.add_metric(_of(one), buckets(one.commit_ns, COMMIT_POWERS), None)
    yield commit


def _processes(recorders: Sequence[RecorderReading]) -> Iterator[Metric]:
    labels = ("recorder", "process")
    memory = GaugeMetricFamily("mdtool_process_resident_memory_bytes", "With what it maps of the store.", labels=labels)
    own = GaugeMetricFamily("mdtool_process_own_memory_bytes", "Without what it maps.", labels=labels)
    files = GaugeMetricFamily("mdtool_process_open_files", "File descriptors in use.", labels=labels)
    for recorder, role, pids in _roles(recorders):
        for family, values in (
            (memory, [processes.memory(pid, "VmRSS") for pid in pids]),
            (own, [processes.memory(pid, "RssAnon") for pid in pids]),
            (files, [processes.open_files(pid) for pid in pids]),
        ):
            known = [value for value in values if value is not None]
            if known:
                family.add_metric((recorder, role), sum(known))
    yield from (memory, own, files)


def _roles(recorders: Sequence[RecorderReading]) -> Iterator[tuple[str, str, list[int]]]:
    """(recorder, what it does for it, its processes); this one is of none."""
    for one in recorders:
        yield one.name, "recorder", [one.pid]
        roles: dict[str, list[int]] = {}
        for pid, module in processes.children(one.pid).items():
            roles.setdefault(module.rpartition(".")[2] or "helper", []).append(pid)
        for role, pids in sorted(roles.items()):
            yield one.name, role, pids
    yield "", "web", [os.getpid()]


def _feeds(feeds: Sequence[tuple[FeedReading, RecorderReading]]) -> Iterator[Metric]:
    yield _gauges(
        "mdtool_feed_ready", "1 where its streams are live and its book is whole, as /ready says.", OF_FEED,
        ((_named(feed), 0 if lacks(feed, recorder) else 1) for feed, recorder in feeds),
    )  # fmt: skip
    for name, counted, what in FEED_COUNTERS:
        yield _counters(f"mdtool_feed_{name}", what, OF_FEED, ((_named(feed), counted(feed)) for feed, _ in feeds))
    for name, value, what in FEED_GAUGES:
        yield _gauges(f"mdtool_feed_{name}", what, OF_FEED, ((_named(feed), value(feed)) for feed, _ in feeds))
    book = GaugeMetricFamily("mdtool_feed_book", "1 for what its book is worth.", labels=(*OF_FEED, "state"))
    delay = HistogramMetricFamily("mdtool_feed_delay_seconds", "From the venue's time of it to here.", labels=OF_FEED)
    for feed, _ in feeds:
        if feed.book is not None:
            for state in BookState:
                book.add_metric((*_named(feed), state.value), feed.book is state)
        if any(feed.delays_ns):
            delay.add_metric(_named(feed), buckets(feed.delays_ns, DELAY_POWERS), None)
    yield from (book, delay)


def buckets(counts: Sequence[int], powers: Sequence[int]) -> list[tuple[str, float]]:
    """Counts by powers of two of nanoseconds as cumulative ones below each of these bounds, in seconds."""
    found: list[tuple[str, float]] = [(repr(2**power / SECOND), sum(counts[:power])) for power in powers]
    return [*found, ("+Inf", sum(counts))]


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


def _gauges(
    name: str, what: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float | None]]
) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels)
    for of, value in values:
        if value is not None:
            family.add_metric(of, value)
    return family


def _counters(name: str, what: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], int]]) -> Metric:
    family = CounterMetricFamily(name, what, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _of(recorder: RecorderReading) -> tuple[str, str]:
    return recorder.name, recorder.venue


def _named(feed: FeedReading) -> tuple[str, str, str]:
    venue, _, symbol = feed.feed.partition("/")
    return venue, symbol, feed.recorder


def _total(recorder: RecorderReading, counter: str) -> int:
    return recorder.totals.get(counter, 0)


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / SECOND
