"""One line of each format: exact times, exact payloads, and a refusal that says what was expected."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.interop import cf, hb, pat
from mdtool.interop.item import Item, LineError
from mdtool.model import Kind

NS = 1_723_161_255_088_156_767


def test_hb() -> None:
    assert hb.parse_line(b'1723161255088156767 {"a": 1}\r') == Item(NS, Kind.DATA, b'{"a": 1}\r')
    assert hb.parse_line(b"1723161255088156767 ") == Item(NS, Kind.DATA, b"")
    assert hb.parse_line(b"") is None


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        (b"1723161255088156767", 1_723_161_255_088_156_767),
        (b"1723161255088156", 1_723_161_255_088_156_000),
        (b"1723161255088", 1_723_161_255_088_000_000),
        (b"1723161255", 1_723_161_255_000_000_000),
        (b"998000000000000000", 998_000_000_000_000_000),  # 2001, when nanoseconds had 18 digits
    ],
)
def test_a_times_unit_is_told_by_its_magnitude(stamp: bytes, ns: int) -> None:
    assert hb.parse_line(stamp + b" {}") == Item(ns, Kind.DATA, b"{}")
    assert cf.parse_line(stamp + b": {}") == Item(ns, Kind.DATA, b"{}")
    assert cf.parse_line(b"wss://x <-> " + stamp) == Item(ns, Kind.OPEN, b"", "wss://x")


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"1723161255088156767",
        b"72316125 {}",  # seconds of 1972
        b"000000000000 {}",
        b"1723161255088156767.5 {}",
        b"-1723161255088156767 {}",
        b"1_723_161_255_088_156_767 {}",
        "١٧٢٣١٦١٢٥٥٠٨٨١٥٦٧٦٧ {}".encode(),
        b"99999999999999999999 {}",
        b"9999999999999999999 {}",  # beyond int64
        b" {}",
        b"\x1f\x8b\x08",
    ],
)
def test_what_is_no_hb_line(line: bytes) -> None:
    with pytest.raises(LineError):
        hb.parse_line(line)


@given(st.integers(10**17, 2**63 - 1), st.binary())
def test_hb_keeps_time_and_bytes(ns: int, payload: bytes) -> None:
    payload = payload.replace(b"\n", b"")
    assert hb.parse_line(b"%d %s" % (ns, payload)) == Item(ns, Kind.DATA, payload)


@pytest.mark.parametrize(
    ("line", "item"),
    [
        (b"1633998512.0633569: {}", Item(1_633_998_512_063_356_900, Kind.DATA, b"{}")),
        (b"1633998512: a: b", Item(1_633_998_512_000_000_000, Kind.DATA, b"a: b")),
        (b"1633998512063.25: {}", Item(1_633_998_512_063_250_000, Kind.DATA, b"{}")),
        (b"1633998512063356.5: {}", Item(1_633_998_512_063_356_500, Kind.DATA, b"{}")),
        (b"1633998512.123456789: ", Item(1_633_998_512_123_456_789, Kind.DATA, b"")),
        (b"wss://x/ws <-> 1633998511.159679", Item(1_633_998_511_159_679_000, Kind.OPEN, b"", "wss://x/ws")),
        (b'wss://x/ws <- 1633998511.2: {"id": 1}', Item(1_633_998_511_200_000_000, Kind.SENT, b'{"id": 1}', "wss://x/ws")),
        (b"https://x/d?s=A -> 1633998512.5: {}", Item(1_633_998_512_500_000_000, Kind.RESPONSE, b"{}", "https://x/d?s=A")),
        (b"configuration: {}", Item(0, Kind.NOTE, b"{}")),
        (b"", None),
    ],
)  # fmt: skip
def test_cf(line: bytes, item: Item | None) -> None:
    assert cf.parse_line(line) == item


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"1633998512.0633569",
        b"1633998512.0633569 {}",
        b"1633998512063.1234567: {}",  # tenths of a nanosecond
        b"1633998512063356767.5: {}",
        b"1633998512.0123456789: {}",  # ten decimals: would be rounded
        b"1633998512.-5: {}",
        b"1633998512.5.5: {}",
        b"1e9: {}",
        b"wss://x <-> 1633998511.1: {}",
        b"wss://x <- 1633998511.1",
        b"wss://x -> soon: {}",
        b"wss://x => 1633998511.1: {}",
        b'1723161255088156767 {"stream": "hb"}',
    ],
)
def test_what_is_no_cf_line(line: bytes) -> None:
    with pytest.raises(LineError):
        cf.parse_line(line)


@given(st.floats(min_value=1e8 + 1, max_value=4e9))
def test_cf_keeps_the_digits_python_printed(seconds: float) -> None:
    digits = repr(seconds)
    whole, _, fraction = digits.partition(".")
    item = cf.parse_line(f"{digits}: x".encode())
    assert item == Item(int(whole + fraction.ljust(9, "0")), Kind.DATA, b"x")


def test_pat_is_utc_unless_a_zone_is_given() -> None:
    line = b'2016-03-12 00:08:37,352 {"type": "open"}'
    assert pat.line_parser()(line) == Item(1_457_741_317_352_000_000, Kind.DATA, b'{"type": "open"}')
    summer = b"2016-07-01 12:00:00,001 {}"
    assert pat.line_parser(ZoneInfo("Europe/Berlin"))(summer) == Item(1_467_367_200_001_000_000, Kind.DATA, b"{}")


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        (b"2016-03-12T00:08:37.352", 1_457_741_317_352_000_000),
        (b"2016-03-12T00:08:37.352106Z", 1_457_741_317_352_106_000),
        (b"2016-03-12 00:08:37,352106789", 1_457_741_317_352_106_789),
    ],
)
def test_pat_as_other_loggers_stamp(stamp: bytes, ns: int) -> None:
    assert pat.line_parser()(stamp + b" {}") == Item(ns, Kind.DATA, b"{}")


def test_pat_across_minutes_and_back() -> None:
    parse = pat.line_parser()
    stamps = [b"2016-03-12 00:08:59,999", b"2016-03-12 00:09:00,000", b"2016-03-12 00:08:59,999"]
    items = [parse(stamp + b" {}") for stamp in stamps]
    assert [item.recv_ns for item in items if item] == [
        1_457_741_339_999_000_000,
        1_457_741_340_000_000_000,
        1_457_741_339_999_000_000,
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"2016-03-12 00:08:37 {}",
        b"2016-13-12 00:08:37,352 {}",
        b"2016-02-30 00:00:00,000 {}",
        b"2016-03-12 24:08:37,352 {}",
        b"2016-03-12 00:08:60,352 {}",
        b"1457741317352000000 {}",
        b"0001-01-01 00:00:00,000 {}",
        b"x",
    ],
)
def test_what_is_no_pat_line(line: bytes) -> None:
    with pytest.raises(LineError):
        pat.line_parser()(line)


@given(st.binary(max_size=200))
def test_no_line_of_bytes_raises_anything_else(line: bytes) -> None:
    for parse in (hb.parse_line, cf.parse_line, pat.line_parser()):
        try:
            item = parse(line)
        except LineError:
            continue
        assert item is None or 0 <= item.recv_ns < 2**63
