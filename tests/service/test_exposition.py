"""What Prometheus gets, and what comes with the package to make use of it: of one store, each name and number."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from duty import NOW, SYMBOLS, Duty, on_duty, well
from prometheus_client.parser import text_string_to_metric_families

from mdtool.clock import SECOND
from mdtool.commands.tasks.metering import packaged
from mdtool.service.exposition import buckets, expose
from mdtool.service.readings import Readings
from mdtool.storage.store import Store

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
TOP = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool") or os.environ.get("MDTOOL_PROMTOOL")
promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here")


def series(text: bytes) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def of(found: Series, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with well(tmp_path / "store") as made:
        yield made


def exposed(duty: Duty) -> bytes:
    with duty.readings() as readings:
        readings.take(duty.now_ns)
        duty.receives(SYMBOLS[0], 5)
        duty.passes()
        return expose(readings.take(duty.now_ns))


def test_one_store(duty: Duty) -> None:
    status = duty.status
    status.records, status.payload_bytes, status.sessions, status.connections = 11, 1234, 3, 1
    status.failures, status.refused, status.unanswered, status.undecodable, status.unknown_lines = 1, 2, 3, 4, 5
    alpha = status.of(SYMBOLS[0])
    alpha.gaps, alpha.resets, alpha.early, alpha.missing = 6, 7, 8, 1
    status.delayed(SYMBOLS[0], ((0, 2), (20, 3), (63, 1)))
    duty.page.commit_ns.cast("Q")[10] = 9
    found = series(exposed(duty))
    recorder = {"recorder": "sim", "venue": "sim"}
    feed = {"venue": "sim", "symbol": "ALPHA_USDT", "recorder": "sim"}
    assert of(found, "mdtool_healthy") == 1
    assert of(found, "mdtool_ready") == 0
    assert of(found, "mdtool_reading_time_seconds") == NOW / SECOND + 2
    assert of(found, "mdtool_recorder_up", **recorder) == 1
    assert of(found, "mdtool_recorder_messages_total", **recorder) == 11
    assert of(found, "mdtool_recorder_bytes_total", **recorder) == 1234
    assert of(found, "mdtool_recorder_sessions_total", **recorder) == 3
    errors = {kind: of(found, "mdtool_recorder_errors_total", kind=kind, **recorder) for kind in (
        "connect", "refused", "unanswered", "undecodable", "sidecar_line")}  # fmt: skip
    assert errors == {"connect": 1, "refused": 2, "unanswered": 3, "undecodable": 4, "sidecar_line": 5}
    assert of(found, "mdtool_recorder_start_time_seconds", **recorder) == NOW / SECOND
    assert of(found, "mdtool_recorder_heartbeat_age_seconds", **recorder) == 0
    assert of(found, "mdtool_process_open_files", recorder="sim", process="recorder") > 3
    assert of(found, "mdtool_process_resident_memory_bytes", recorder="", process="web") > 1 << 20
    assert of(found, "mdtool_feed_ready", **feed) == 0
    assert of(found, "mdtool_feed_ready", **feed | {"symbol": "BRAVO_USDT"}) == 1
    assert of(found, "mdtool_feed_records_total", **feed) == 5
    assert of(found, "mdtool_feed_bytes_total", **feed) == 500
    assert of(found, "mdtool_feed_gaps_total", **feed) == 6
    assert of(found, "mdtool_feed_resets_total", **feed) == 7
    assert of(found, "mdtool_feed_early_total", **feed) == 8
    assert of(found, "mdtool_feed_streams_missing", **feed) == 1
    assert of(found, "mdtool_feed_last_record_age_seconds", **feed) == 1
    assert (of(found, "mdtool_feed_epoch", **feed), of(found, "mdtool_feed_chunk", **feed)) == (2, 2)
    books = {state: of(found, "mdtool_feed_book", state=state, **feed) for state in (
        "waiting", "partial", "synced", "dirty")}  # fmt: skip
    assert books == {"waiting": 0, "partial": 0, "synced": 1, "dirty": 0}
    delays = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "mdtool_feed_delay_seconds_bucket" and feed.items() <= set(labels)
    }
    assert len(delays) == 18
    assert [delays[le] for le in ("0.000524288", "0.001048576", "0.002097152", "+Inf")] == [2, 2, 5, 6]
    commits = {
        dict(labels)["le"]: value for (name, labels), value in found.items() if name == "mdtool_commit_seconds_bucket"
    }
    assert [commits[le] for le in ("1.024e-06", "2.048e-06", "+Inf")] == [0, 9, 9]


def test_of_one_that_died_no_more_is_said_than_that_and_of_one_that_was_told_nothing(tmp_path: Path) -> None:
    with on_duty(tmp_path):
        pass
    with Store.open(tmp_path) as store, Readings(store) as readings:
        found = series(expose(readings.take(NOW)))
    assert of(found, "mdtool_recorder_up", recorder="sim", venue="sim") == 0
    assert of(found, "mdtool_healthy") == 0
    of_recorder = {name for name, labels in found if "venue" in dict(labels)}
    assert of_recorder == {"mdtool_recorder_up"}


def test_what_a_venue_calls_a_symbol_breaks_no_line(tmp_path: Path) -> None:
    """Names are the store's, which are tame; should that change, the format holds all the same."""
    with on_duty(tmp_path) as duty, duty.readings() as readings:
        reading = readings.take(NOW)
        (feed, *_) = reading.feeds
        object.__setattr__(feed, "feed", 'sim/A"B\n\\C')
        symbols = {dict(labels).get("symbol") for _, labels in series(expose(reading))}
    assert 'A"B\n\\C' in symbols


def test_buckets_are_cumulative() -> None:
    counts = [1, 2, 3, 4]
    assert buckets(counts, range(1, 4)) == [("2e-09", 1), ("4e-09", 3), ("8e-09", 6), ("+Inf", 10)]


# -- what comes with the package --------------------------------------------------------------------------------------

NAME = re.compile(r"\bmdtool_[a-z0-9_]+")
SELECTOR = re.compile(r"\b(mdtool_[a-z0-9_]+)\{([^}]*)\}")


def expressions(dashboard: object) -> Iterator[str]:
    """Each query of a dashboard, those of its variables too."""
    if isinstance(dashboard, dict):
        for key, value in dashboard.items():
            if key in ("expr", "definition", "query") and isinstance(value, str) and "mdtool_" in value:
                yield value
            else:
                yield from expressions(value)
    elif isinstance(dashboard, list):
        for value in dashboard:
            yield from expressions(value)


def alert_rules() -> list[tuple[str, str]]:
    """(name, expression); the file is of a shape simple enough to be read without a library for YAML."""
    return re.findall(r"^ +- alert: (\w+)\n +expr: (.+)$", packaged("alerts.yml"), flags=re.M)


@pytest.fixture
def labels(duty: Duty) -> dict[str, set[str]]:
    """The labels of each series there is."""
    duty.status.delayed(SYMBOLS[0], ((20, 1),))
    duty.page.commit_ns.cast("Q")[10] = 1
    found: dict[str, set[str]] = {}
    for name, pairs in series(exposed(duty)):
        found.setdefault(name, set()).update(name for name, _ in pairs)
    return found


def holds(expression: str, labels: dict[str, set[str]]) -> None:
    used = set(NAME.findall(expression))
    assert used
    assert used <= labels.keys(), expression
    for name, matchers in SELECTOR.findall(expression):
        asked = {matcher.split("=")[0].strip(" !~") for matcher in matchers.split(",")}
        assert asked - {"instance"} <= labels[name], expression


def test_every_alert_is_of_metrics_that_exist(labels: dict[str, set[str]]) -> None:
    rules = alert_rules()
    assert len(rules) == packaged("alerts.yml").count("- alert:") > 10
    for _, expression in rules:
        holds(expression, labels)


def test_the_dashboard_is_of_metrics_that_exist(labels: dict[str, set[str]]) -> None:
    board = json.loads(packaged("dashboard.json"))
    queries = list(expressions(board))
    assert len(queries) > 30
    for query in queries:
        holds(query, labels)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = [
        (x, y)
        for panel in board["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24


def test_every_metric_is_drawn_or_alerted_on(labels: dict[str, set[str]]) -> None:
    """What nobody looks at need not be served; these are for who asks a question of his own."""
    used = {name for text in (packaged("alerts.yml"), packaged("dashboard.json")) for name in NAME.findall(text)}
    assert labels.keys() - used == {
        "mdtool_feed_bytes_total", "mdtool_feed_connects_total", "mdtool_feed_refused_total",
        "mdtool_feed_snapshots_total", "mdtool_feed_unanswered_total", "mdtool_recorder_acknowledged_total",
        "mdtool_recorder_gaps_total", "mdtool_recorder_heartbeat_age_seconds", "mdtool_recorder_snapshots_total",
    }  # fmt: skip


def test_every_alert_is_in_the_runbook_and_points_there() -> None:
    page = (TOP / "man" / "mdtool-runbook.7").read_text(encoding="utf-8")
    entries = re.findall(r"^\.TP\n\\fB(.*)\\fR$", page, flags=re.M)
    names = [name for name, _ in alert_rules()]
    assert entries == names
    assert re.findall(r"runbook: man mdtool-runbook, (\w+)", packaged("alerts.yml")) == names


@promtool
def test_promtool_has_nothing_to_say_of_the_metrics(duty: Duty) -> None:
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=exposed(duty), capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@promtool
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    rules = tmp_path / "alerts.yml"
    rules.write_text(packaged("alerts.yml"), encoding="utf-8")
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(rules)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{len(alert_rules())} rules found" in done.stdout


@promtool
def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """As rules, which is how it checks an expression."""
    board = json.loads(packaged("dashboard.json"))
    queries = [one for one in expressions(board) if not one.startswith("label_values(")]
    filled = [re.sub(r"\$__\w+", "5m", one) for one in queries]
    rules = [{"record": "a", "expr": one, "labels": {"n": str(n)}} for n, one in enumerate(filled)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([str(PROMTOOL), "check", "rules", "--lint=none", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
