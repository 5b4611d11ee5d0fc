"""Times, durations, sizes and speeds: exact, and UsageError whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mdtool.errors import UsageError
from mdtool.units import (
    count,
    format_duration,
    format_size,
    format_time,
    parse_duration,
    parse_size,
    parse_speed,
    parse_time,
)

NOW = 1_723_161_255_088_156_767  # 2024-08-08T23:54:15.088156767Z
FIRST = 1_723_161_254_024_619_568
LAST = 1_723_161_600_001_233_484
S = 10**9
int64 = st.integers(-(2**63), 2**63 - 1)


def time_of(text: str) -> int:
    return parse_time(text, now_ns=NOW, first_ns=FIRST, last_ns=LAST)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-08-08T23:54:15.088156767Z", NOW),
        ("2024-08-08 23:54:15.088156767", NOW),
        ("2024-08-09T01:54:15.088156767+02:00", NOW),
        ("2024-08-08T18:24:15.088156767-0530", NOW),
        (" 2024-08-08T23:54:15,088156767z ", NOW),
        ("2024-08-08T23:54", 1_723_161_240 * S),
        ("2024-08-08", 1_723_075_200 * S),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59.5Z", -S // 2),
        ("2024-02-29T00:00:00.100000000000Z", 1_709_164_800 * S + S // 10),  # zeros are no digits
        ("1723161255", 1_723_161_255 * S),
        ("1633998512.0633569", 1_633_998_512_063_356_900),
        ("1723161255088", 1_723_161_255_088 * 10**6),
        ("1723161255088.5", 1_723_161_255_088_500_000),
        ("1723161255088156", 1_723_161_255_088_156 * 1000),
        ("1723161255088156767", NOW),
        ("0", 0),
        ("20240808.0", 20_240_808 * S),
        ("now", NOW),
        ("-15m", NOW - 900 * S),
        ("+1.5s", NOW + 3 * S // 2),
        ("now-5m", NOW - 300 * S),
        ("first", FIRST),
        ("first+10s", FIRST + 10 * S),
        ("last-1m30s", LAST - 90 * S),
        ("last", LAST),
    ],
)
def test_parse_time(text: str, ns: int) -> None:
    assert time_of(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "yesterday",
        "2024-13-01",
        "2024-02-30",
        "2024-08-08T24:00",
        "2024-08-08T23:59:60Z",  # no leap seconds: the epoch has none
        "2024-08-08T23:54:15.0000000001Z",  # would be rounded
        "1723161255088156767.5",
        "20240808",  # a date or seconds?
        "9999-01-01",
        "0001-01-01",
        "9" * 40,
        "9" * 100_000,
        "٢٠٢٤-٠٨-٠٨",
        "１７２３１６１２５５",
        "1_723_161_255",
        "1e9",
        "nan",
        "-15",
        "-",
        "now-",
        "now-now",
        "-9999999w",
        "2024-08-08T23:54:15+25:00",
        "\x00",
        "now\n+1s\n",
    ],
)
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        time_of(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_refusal_says_what_was_given_and_what_is_expected() -> None:
    with pytest.raises(UsageError) as caught:
        time_of("yesterday")
    assert str(caught.value) == (
        "no time: 'yesterday'; expected 2024-08-08T23:54:15.25Z, 2024-08-08, epoch s, ms, us or ns, -15m, "
        "now, first+10s or last-1m"
    )


def test_first_and_last_need_a_record() -> None:
    with pytest.raises(UsageError, match="no record that 'first' could mean"):
        parse_time("first+1s", now_ns=NOW)


@given(int64)
@example(0)
@example(-1)
@example(-(2**63))
@example(2**63 - 1)
def test_a_time_survives_its_text(ns: int) -> None:
    assert time_of(format_time(ns)) == ns


@given(int64, st.integers(-14 * 60, 14 * 60))
def test_an_offset_names_the_same_instant(ns: int, east: int) -> None:
    local = ns + east * 60 * S
    if not -(2**63) <= local < 2**63:
        return
    sign = "-" if east < 0 else "+"
    text = format_time(local).rstrip("Z") + f"{sign}{abs(east) // 60:02}:{abs(east) % 60:02}"
    assert time_of(text) == ns


def test_format_time() -> None:
    assert format_time(NOW) == "2024-08-08T23:54:15.088156767Z"
    assert format_time(1_723_075_200 * S) == "2024-08-08T00:00:00Z"
    assert format_time(1_723_075_200 * S + 250_000_000) == "2024-08-08T00:00:00.25Z"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("90s", 90 * S),
        ("7d", 7 * 86_400 * S),
        ("1h30m", 5_400 * S),
        ("250ms", 250_000_000),
        ("100us", 100_000),
        ("100µs", 100_000),
        ("5ns", 5),
        ("1.5s", 3 * S // 2),
        ("0s", 0),
        ("2w", 14 * 86_400 * S),
    ],
)
def test_parse_duration(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "s",
        "-90s",
        "1.5",
        "1.5ns",
        "0.1234567891s",
        "1 h",
        "1h 30m",
        "9" * 60 + "s",
        "٩s",
        "1y",
        "inf",
    ],
)
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


@given(st.integers(0, 2**63 - 1))
def test_a_duration_survives_its_text(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (5, "5ns"),
        (12_300, "12.3us"),
        (250_000_000, "250ms"),
        (90 * S, "1m30s"),
        (5_400 * S, "1h30m"),
        (60 * S + S // 2, "1m0.5s"),
        (7 * 86_400 * S, "7d"),
        (-1_270_000_000, "-1.27s"),
    ],
)
def test_format_duration(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4096", 4096),
        ("4096B", 4096),
        ("64MiB", 64 << 20),
        ("64 mib", 64 << 20),
        ("100GB", 100 * 10**9),
        ("1.5GiB", 3 << 29),
        ("0", 0),
    ],
)
def test_parse_size(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "64M", "-1", "1.5", "0.3KiB", "1e3", "9" * 40, "9" * 10_000, "6٤"])
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@given(st.integers(0, 1023), st.sampled_from([1, 2**10, 2**20, 2**30, 2**40]))
def test_a_whole_size_survives_its_text(count: int, factor: int) -> None:
    assert parse_size(format_size(count * factor)) == count * factor


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (4096, "4KiB"),
        (64 << 20, "64MiB"),
        (23_276_504, "22.2MiB"),
        (3 << 29, "1.5GiB"),
    ],
)
def test_format_size(count: int, text: str) -> None:
    assert format_size(count) == text


def test_parse_speed() -> None:
    assert [parse_speed(text) for text in ("1", "10x", "0.5", ".5x", "max", "MAX")] == [
        1.0,
        10.0,
        0.5,
        0.5,
        None,
        None,
    ]


@pytest.mark.parametrize("text", ["", "0", "0x", "0.0", "-1", "nan", "inf", "1e3", "x", "fast", "1xx", "٣", "9" * 500])
def test_what_is_no_speed_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a factor above 0, as in 1, 10x or 0\.5, or max"):
        parse_speed(text)


@given(st.text(max_size=120))
def test_any_text_gives_an_integer_or_a_usage_error(text: str) -> None:
    for parse in (time_of, parse_duration, parse_size):
        try:
            value = parse(text)
        except UsageError:
            continue
        assert isinstance(value, int)
        assert -(2**63) <= value < 2**63
    try:
        speed = parse_speed(text)
    except UsageError:
        return
    assert speed is None or speed > 0


@pytest.mark.parametrize(
    ("noun", "shown"),
    [
        ("gap", ["0 gaps", "1 gap", "2 gaps", "1,000 gaps"]),
        ("loss", ["0 losses", "1 loss", "2 losses", "1,000 losses"]),
        ("clock step", ["0 clock steps", "1 clock step", "2 clock steps", "1,000 clock steps"]),
        ("entry", ["0 entries", "1 entry", "2 entries", "1,000 entries"]),
        ("quote mismatch", ["0 quote mismatches", "1 quote mismatch", "2 quote mismatches", "1,000 quote mismatches"]),
        ("day", ["0 days", "1 day", "2 days", "1,000 days"]),
    ],
)
def test_counted_words(noun: str, shown: list[str]) -> None:
    assert [count(number, noun) for number in (0, 1, 2, 1000)] == shown


def test_a_counted_word_with_its_verb() -> None:
    assert [count(number, "record is", "records are") for number in (1, 2)] == ["1 record is", "2 records are"]
