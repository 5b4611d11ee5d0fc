"""A file mapped whole: what is read and written, how long it lives, and that it holds no descriptor."""

from __future__ import annotations

import gc
import os
import sys

import numpy as np
import pytest

from mdtool.kernel.journal import Journal
from mdtool.kernel.mapping import FileMap


def mapped(path, content, *, writable=False):
    path.write_bytes(content)
    fd = os.open(path, os.O_RDWR)
    try:
        return FileMap(fd, len(content), writable)
    finally:
        os.close(fd)


def test_it_is_the_files_bytes_and_outlives_descriptor_and_name(tmp_path):
    made = mapped(tmp_path / "f", b"abcdef")
    (tmp_path / "f").unlink()
    assert (len(made), bytes(made), bytes(made[1:3]), made[0], made.writable) == (6, b"abcdef", b"bc", ord("a"), False)
    view = made[2:]
    del made
    assert bytes(view) == b"cdef"
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 1


def test_what_is_written_is_in_the_file(tmp_path):
    made = mapped(tmp_path / "f", bytes(8), writable=True)
    made[2:4] = b"xy"
    made[0] = 7
    assert (tmp_path / "f").read_bytes() == b"\7\0xy\0\0\0\0"


def test_nothing_is_a_buffer_of_nothing_and_a_bad_descriptor_an_error(tmp_path):
    assert bytes(mapped(tmp_path / "f", b"")) == b"" and not mapped(tmp_path / "g", b"")
    with pytest.raises(OSError, match="Bad file descriptor"):
        FileMap(-1, 10)


def test_holes_are_backed_where_there_is_room_and_bounds_are_kept(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 20)
    fd = os.open(path, os.O_RDONLY)
    made = FileMap(fd, 1 << 20)
    os.close(fd)
    assert made.is_backed(0, 1 << 20) and made.is_backed(5, 5)
    for start, stop in ((-1, 4), (0, (1 << 20) + 1), (9, 8)):
        with pytest.raises(ValueError, match="of 1048576"):
            made.is_backed(start, stop)


def test_what_is_forgotten_comes_back_as_it_was_written(tmp_path):
    made = mapped(tmp_path / "f", bytes(3 * 4096), writable=True)
    made[:] = b"x" * (3 * 4096)
    for start, stop in ((0, 3 * 4096), (1, 4095), (1, 4096), (4096, 8193), (5, 5)):
        made.forget(start, stop)
        assert bytes(made) == b"x" * (3 * 4096)
    made[4096:4098] = b"yz"
    made.forget(4096, 8192)
    assert (tmp_path / "f").read_bytes() == b"x" * 4096 + b"yz" + b"x" * 8190
    for start, stop in ((-1, 4), (0, 3 * 4096 + 1), (9, 8)):
        with pytest.raises(ValueError, match="of 12288"):
            made.forget(start, stop)


def test_a_reader_in_a_cycle_is_collected_without_a_word(tmp_path, monkeypatch):
    """A view with a buffer of its own on it cannot be let go of by the collector; a map can."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    made = mapped(tmp_path / "f", bytes(4096 + 64), writable=True)
    cycle = [Journal(made, made, 0, True), np.frombuffer(memoryview(made), np.uint8), made[4096:]]
    cycle.append(cycle)
    del made, cycle
    gc.collect()
    assert said == []
