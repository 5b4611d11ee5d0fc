"""The pipe between sidecar and recorder: whatever comes over it, whole messages come out and the rest is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.capture import protocol
from mdtool.capture.protocol import (
    LONGEST_LINE,
    Alive,
    Ask,
    Gap,
    Learned,
    Lines,
    Mark,
    NoBook,
    Start,
    Undecodable,
    Unwatched,
    line,
    read_start,
)

MESSAGES = [
    Alive(),
    Ask("A_B"),
    Gap("A_B", 'gap "before" 7\n'),
    Undecodable("A_B", 3, "ü"),
    NoBook("A_B", ""),
    Learned("A_B", -8, 2),
    Unwatched("A_B", "gone"),
    Mark("A_B", 1 << 40, (1 << 40) + 7),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_where_the_stream_is_cut_never_matters(messages, cuts):
    data = b"".join(map(line, messages))
    lines, taken, at = Lines(), [], 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        taken += lines.take(data[at:cut])
        at = cut
    assert (taken, lines.unknown) == (messages, 0)


HOSTILE = [
    b"",
    b"junk",
    b"{",
    b"[" * 3000,
    b'{"type":"ask"}',
    b'{"type":"ask","symbol":7}',
    b'{"type":"rm -rf","symbol":"A_B"}',
    b'{"type":"mark","symbol":"A_B","anchor":-1,"told":0}',
    b'{"type":"mark","symbol":"A_B","anchor":1e99,"told":0}',
    b'{"type":"learned","symbol":"A_B","price_exp":-100000,"size_exp":0}',
    b'{"type":"undecodable","symbol":"A_B","records":0}',
    b"\xff\xfe\x00",
    b'{"type":"gap","symbol":"A_B","text":"' + b"x" * 2 * LONGEST_LINE + b'"}',
]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_is_no_message_is_counted_and_takes_nothing_with_it(size):
    data = b"".join(line(Ask(f"S{n}_B")) + hostile + b"\n" for n, hostile in enumerate(HOSTILE)) + line(Alive())
    lines, taken = Lines(), []
    for at in range(0, len(data), size):
        taken += lines.take(data[at : at + size])
    assert taken == [*(Ask(f"S{n}_B") for n in range(len(HOSTILE))), Alive()]
    assert lines.unknown == len(HOSTILE)


def test_a_line_that_never_ends_is_not_kept():
    lines = Lines()
    for _ in range(1000):
        assert lines.take(b"x" * 4096) == []
    assert len(lines._begun) <= LONGEST_LINE
    assert lines.take(b"\n" + line(Alive())) == [Alive()]
    assert lines.unknown == 1


@given(st.text(max_size=3000) | st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_a_reason_always_fits_a_line(why):
    said = Gap("A" * 63, protocol.text(why))
    assert len(line(said)) <= LONGEST_LINE
    assert Lines().take(line(said)) == [said]


def test_what_it_is_told_first_comes_as_it_went():
    start = Start("/a store", "sim", ("depth@100ms",), (Mark("A_B", 1, 2), Mark("C_D", 0, 0)))
    assert read_start(line(start)) == start
    with pytest.raises(ValueError, match="malformed"):
        read_start(b"nonsense")
