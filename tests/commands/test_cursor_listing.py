"""`mdtool registry show` lists a feed's cursors, and says why the feed is not being written."""

from __future__ import annotations

import json

from mdtool.clock import HOUR
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan

FEED = "sim/ALPHA_USDT"


def test_cursors_are_listed_with_how_far_behind_they_are(mdtool, alpha):
    with Store.open(alpha) as store:
        with store.reader(FEED) as reader:
            total = reader.count()
            reader.poll(100)
            position = reader.position
        with store.cursor(FEED, "sink") as sink, store.cursor(FEED, "fresh"), store.cursor(FEED, "done") as done:
            sink.commit(position)
            sink.lease(HOUR)
            done.to_end()
        shown = json.loads(mdtool("--store", alpha, "registry", "show", FEED, "--json").out)
        assert [(one["cursor"], one["behind"], one["lease_until_ns"] is None) for one in shown["cursors"]] == [
            ("done", 0, True), ("fresh", total, True), ("sink", total - 100, False),
        ]  # fmt: skip
        assert shown["disconnect"].startswith(f"{FEED}: its writer stopped of its own will: import of sim_alpha.hb")
        text = " ".join(mdtool("--store", alpha, "registry", "show", FEED).out.split())
        assert "cursor behind moved (UTC) leased until (UTC)" in text
        assert f"sink {total - 100:,} 20" in text
        store.remove_cursor(FEED, "fresh")
        with store.cursor(FEED, "sink") as sink:
            sink.lease(0)
        limits = RetentionLimits(older_than_ns=1, closed_chunks=True)
        assert len(list(execute(plan([store.feed(FEED)], limits, 1 << 62)))) == 1
        shown = json.loads(mdtool("--store", alpha, "registry", "show", FEED, "--json").out)
        assert [(one["cursor"], one["behind"]) for one in shown["cursors"]] == [("done", 0), ("sink", None)]
        assert " sink lost " in " ".join(mdtool("--store", alpha, "registry", "show", FEED).out.split())
