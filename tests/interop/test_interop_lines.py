"""Lines out of plain, gzip and zstd files: cutting the input anywhere loses nothing that stands before the cut."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdtool.errors import ImportFormatError
from mdtool.interop import lines as module
from mdtool.interop.lines import CutShort, Lines, Stop

TEXT = b"".join(b"line %d %s\n" % (i, b"x" * (i % 50)) for i in range(3_000))


def collect(path: Path) -> tuple[list[bytes], str | None]:
    found: list[bytes] = []
    try:
        for line in Lines(path):
            found.append(line)
    except CutShort as error:
        return found, str(error)
    return found, None


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_whatever_it_is_packed_with(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(pack(TEXT))  # type: ignore[operator]
    assert collect(path) == (TEXT.split(b"\n")[:-1], None)


def test_several_members_and_frames_are_one_file(tmp_path: Path) -> None:
    for pack in (gzip.compress, zstandard.compress):
        path = tmp_path / "two"
        path.write_bytes(pack(TEXT[:1000]) + pack(TEXT[1000:]))
        assert collect(path) == (TEXT.split(b"\n")[:-1], None)


def test_a_line_is_measured_and_not_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(module, "MAX_LINE", 100)
    path = tmp_path / "many"
    path.write_bytes(TEXT)
    assert collect(path) == (TEXT.split(b"\n")[:-1], None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data(), st.sampled_from([gzip.compress, zstandard.compress]))
def test_a_cut_packed_file_gives_all_that_can_be_unpacked(tmp_path: Path, data: st.DataObject, pack: object) -> None:
    packed = pack(TEXT)  # type: ignore[operator]
    cut = data.draw(st.integers(5, len(packed) - 1))
    path = tmp_path / "cut"
    path.write_bytes(packed[:cut])
    found, why = collect(path)
    assert why is not None
    assert "ends early" in why
    text = b"\n".join(found)
    assert TEXT.startswith(text)  # the last line may be a part of one
    if pack is gzip.compress and cut > len(packed) * 3 // 4:
        assert found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.integers(1, 16))
def test_block_boundaries_never_matter(tmp_path: Path, lines: list[bytes], block: int) -> None:
    path = tmp_path / "blocks"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        if not path.read_bytes().startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            assert collect(path) == ([line.removesuffix(b"\r") for line in lines], None)


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "crlf"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\nthree\xef\xbb\xbf\r")
    assert collect(path) == ([b"one", b"two", b"", b"three\xef\xbb\xbf"], None)
    path.write_bytes(b"\xef\xbb\xbfonly")
    assert collect(path) == ([b"only"], None)


def test_how_far_it_was_read_is_known_with_a_digest_of_it(tmp_path: Path) -> None:
    path = tmp_path / "d.gz"
    path.write_bytes(gzip.compress(TEXT))
    lines = Lines(path)
    assert len(list(lines)) == 3_000
    assert lines.offset == path.stat().st_size
    assert lines.digest == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def test_what_waits_for_a_pipe_is_broken_off_and_nothing_else_is() -> None:
    stop = Stop()
    stop.ask()
    assert stop.asked
    with pytest.raises(KeyboardInterrupt):
        stop.ask()
    waiting = Stop()
    waiting.waiting = True
    with pytest.raises(KeyboardInterrupt):
        waiting.ask()


def test_damage_inside_is_told(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 0xFF  # the checksum
    path = tmp_path / "bad"
    path.write_bytes(packed)
    found, why = collect(path)
    assert found == TEXT.split(b"\n")[:-1]
    assert why is not None
    assert "damaged" in why


def test_a_line_without_its_newline_is_given_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.write_bytes(b"one\ntwo")
    lines = Lines(path)
    assert list(lines) == [b"one", b"two"]
    assert (lines.number, lines.terminated) == (2, False)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(pack(b"one\n" + b"0" * (80 << 20)))  # type: ignore[operator]
    tracemalloc.start()
    try:
        found, why = collect(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found[:1] == [b"one"]
    assert why == "line 2 is longer than 64 MiB"
    assert peak < 160 << 20


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="gone: no such file to import"):
        list(Lines(tmp_path / "gone"))
    with pytest.raises(ImportFormatError, match="a directory, expected a file"):
        list(Lines(tmp_path))


def test_progress_reaches_the_files_size(tmp_path: Path) -> None:
    path = tmp_path / "p.gz"
    path.write_bytes(gzip.compress(TEXT))
    seen: list[int] = []
    list(Lines(path, seen.append))
    assert seen[-1] == path.stat().st_size
    assert seen == sorted(seen)
