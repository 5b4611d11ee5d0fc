"""A stream of the plan is there where it is acknowledged, or heard, on an open connection; nothing else is proof."""

from __future__ import annotations

from mdtool.capture.coverage import Coverage
from mdtool.capture.options import RecordStatus

BOTH = {"A_B": ["depth", "trade"], "C_D": ["depth"]}


class Run:
    """Connections as they come and go."""

    def __init__(self):
        self.status = RecordStatus()
        self.coverage = Coverage(self.status)
        self.heard = set()
        self.coverage.plan(BOTH)

    def look(self):
        """(connections, streams missing) by symbol."""
        self.coverage.look(self.heard)
        return {symbol: (feed.connected, feed.missing) for symbol, feed in self.status.feeds.items()}


def test_a_connection_alone_proves_nothing():
    run = Run()
    assert run.look() == {"A_B": (0, 2), "C_D": (0, 1)}
    run.coverage.opened(1, BOTH)
    assert run.look() == {"A_B": (1, 2), "C_D": (1, 1)}
    run.coverage.acknowledged(1, ("A_B", "depth"))
    run.heard.add(("C_D", "depth"))
    run.coverage.heard()
    assert run.look() == {"A_B": (1, 1), "C_D": (1, 0)}
    run.coverage.closed(1)
    assert run.look() == {"A_B": (0, 2), "C_D": (0, 1)}


def test_what_one_connection_was_promised_is_not_what_the_next_one_has():
    run = Run()
    for session in (1, 2):
        run.coverage.opened(session, {"A_B": BOTH["A_B"]})
    run.coverage.acknowledged(1, ("A_B", "depth"))
    run.coverage.acknowledged(2, ("A_B", "trade"))
    assert run.look()["A_B"] == (2, 0)
    run.coverage.closed(1)
    assert run.look()["A_B"] == (1, 1)
    run.coverage.acknowledged(1, ("A_B", "depth"))  # late: that connection has gone
    assert run.look()["A_B"] == (1, 1)


def test_a_plan_that_changes_and_counters_that_do_not():
    run = Run()
    run.coverage.opened(1, BOTH)
    run.coverage.acknowledged(1, ("C_D", "depth"))
    run.look()
    run.status.changed.clear()
    run.coverage.heard()
    run.look()
    assert run.status.changed == set()
    run.coverage.plan({"C_D": ["depth"], "E_F": ["depth"]})
    assert run.look() == {"A_B": (1, 2), "C_D": (1, 0), "E_F": (0, 1)}
    assert run.status.changed == {"E_F"}
