"""Numbers and times as venues write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import WireError
from mdtool.venues.numbers import iso_ns, plain, seconds_ns


@given(st.from_regex(re.compile(r"-?(0|[1-9]\d{0,12})(\.\d{1,12})?([eE][+-]?\d{1,2})?", re.ASCII), fullmatch=True))
def test_a_json_number_keeps_its_value(text):
    exponent = int(text.lower().partition("e")[2] or 0)
    if abs(exponent) > 80:
        with pytest.raises(WireError):
            plain(text)
        return
    negative, digits = plain(text)
    assert negative is text.startswith("-")
    assert "e" not in digits.lower() and not digits.startswith("-")
    assert Decimal(digits) == abs(Decimal(text))


def test_digits_without_an_exponent_stay_as_they_are():
    assert plain("0.10000000") == (False, "0.10000000")
    assert plain("-5") == (True, "5")
    assert plain("1e-7") == (False, "0.0000001")
    assert plain("1.50e+2") == (False, "150")
    assert plain("1.5e1") == (False, "15")
    assert plain("12.5e-1") == (False, "1.25")


@pytest.mark.parametrize(
    "text", ["", "-", ".5", "5.", "1e", "1e999", "NaN", "Infinity", "+1", " 1", "1 ", "0x10", "1_0", "१"]
)
def test_what_is_no_number(text):
    with pytest.raises(WireError):
        plain(text)


@given(st.integers(0, 2**63 - 1))
def test_seconds(ns):
    assert seconds_ns(f"{ns // 10**9}.{ns % 10**9:09d}") == ns


@pytest.mark.parametrize("text", ["", "1.", ".1", "1618678133.1234567890", "99999999999", "9999999999", "-1", "1e9"])
def test_what_is_no_time_in_seconds(text):
    with pytest.raises(WireError):
        seconds_ns(text)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
def test_iso_times(moment):
    ns = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution) * 1000
    assert iso_ns(moment.isoformat(timespec="microseconds") + "Z") == ns
    assert iso_ns(moment.isoformat(timespec="microseconds") + "+00:00") == ns
    assert iso_ns(moment.isoformat(" ", timespec="microseconds")) == ns


def test_iso_times_to_the_nanosecond_and_in_zones():
    assert iso_ns("2023-10-06T17:35:55.440295123Z") == 1696613755440295123
    assert iso_ns("2023-10-06T19:35:55+02:00") == iso_ns("2023-10-06T17:35:55Z")


@pytest.mark.parametrize(
    "text", ["", "2023-13-06T17:35:55Z", "2023-10-06", "2023-10-06T17:35:55.1234567890Z", "1969-12-31T23:59:59Z"]
)
def test_what_is_no_iso_time(text):
    with pytest.raises(WireError):
        iso_ns(text)
