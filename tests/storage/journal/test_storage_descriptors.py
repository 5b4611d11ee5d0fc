"""What a feed holds open while it is written and read: a recorder has hundreds."""

from __future__ import annotations

import os
from pathlib import Path

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND


def held(store):
    """What this process has open of a store, by file name: of this one, whatever other tests have left to collect."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(Path(os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # that of the listing itself
    return sorted(path.name for path in names if path.is_relative_to(store.path))


def mapped(name):
    return sum(name in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_a_writer_holds_four_descriptors_and_a_reader_one(tmp_path):
    clock = ManualClock(NOON)
    with Store.create(tmp_path / "store") as store:
        assert held(store) == ["registry.bin"]
        writer = store.writer("sim/A", clock=clock)
        for day in range(3):
            writer.append(NOON + day * DAY, Kind.DATA, writer.stream("d"), 0, b"x")
            writer.sync()
        assert held(store) == sorted(["registry.bin", "writer.lock", "feed.bin", "00000003.idx", "00000003.dat"])
        reader = store.reader("sim/A")
        assert len(list(reader.records())) == 3
        assert held(store).count("feed.bin") == 2
        assert len(held(store)) == 6
        reader.close()
        writer.close()
        assert held(store) == ["registry.bin"]


def test_a_mapping_lives_as_long_as_its_views_and_no_longer(tmp_path):
    path = tmp_path / "some-file"
    path.write_bytes(b"ab" * 5000)
    fd = files.open_existing(path)
    whole = files.map_file(fd)
    os.close(fd)
    assert (len(whole), bytes(whole[9_998:]), mapped("some-file")) == (10_000, b"ab", 1)
    part = whole[5:7]
    del whole
    assert (bytes(part), mapped("some-file")) == (b"ba", 1)
    del part
    assert mapped("some-file") == 0
