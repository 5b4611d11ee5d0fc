"""A feed can be in the store before anything is recorded of it, with settings that hold from the first record on."""

from __future__ import annotations

from mdtool.clock import ManualClock
from mdtool.storage.store import Store


def test_what_is_new_is_made_known_and_what_is_there_left_alone(tmp_path):
    clock = ManualClock(10)
    with Store.create(tmp_path) as store, store.writer("sim/A", clock=clock):
        store.make_known(["sim/A", "sim/B", "sim/C", "sim/B"], live="disk", chunk_bytes=8192, clock=clock)
        store.set("sim/B", retain_ns=5)
        found = {info.name: (info.chunk_bytes, info.retain_ns) for info in store.feeds()}
        assert (found["sim/B"], found["sim/C"]) == ((8192, 5), (8192, 0))
        assert found["sim/A"][0] != 8192  # which another process may be writing
        with store.writer("sim/B", clock=clock) as writer:  # nobody holds it
            writer.end(11, "done")
        with store.reader("sim/B") as reader:
            assert reader.count() == 1
