"""Checksums against the venues' own examples."""

from __future__ import annotations

import pytest

from mdtool.venues.checksum import interleaved, interleaved_amounts, joined_digits, script_number, signed

# docs.kraken.com, "Spot Websockets (v2) Book Checksum": the example's ten levels a side.
V2_ASKS = [
    ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
    ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
    ("45297.5", "0.09945542"), ("45299.5", "0.18772827"),
]  # fmt: skip
V2_BIDS = [
    ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
    ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
    ("45277.3", "1.54602737"), ("45276.6", "0.15445238"),
]  # fmt: skip


def test_kraken_v2():
    assert joined_digits(V2_BIDS, V2_ASKS) == 3310070434
    assert (
        joined_digits(V2_BIDS, [*V2_ASKS[:9], ("45299.5", "0.1877282")]) != 3310070434
    )  # every digit of the wire counts


def test_kraken_v1():
    """docs.kraken.com, "Spot Websockets (v1) Book Checksum"."""
    asks = [(f"0.0{5005 + 5 * i}", "0.00000500") for i in range(10)]
    bids = [(f"0.0{price}", "0.00000500") for price in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)]
    assert joined_digits(bids, asks) == 974947235


@pytest.mark.parametrize(
    ("bids", "asks", "checksum"),
    [  # www.okx.com/docs-v5, "Checksum": as many bids as asks, and fewer
        ([("3366.1", "7"), ("3366", "6")], [("3366.8", "9"), ("3368", "8")], -1881014294),
        ([("3366.1", "7")], [("3366.8", "9"), ("3368", "8"), ("3372", "8")], 831078360),
        ([], [], 0),
    ],
)
def test_okx(bids, asks, checksum):
    assert interleaved(bids, asks) == checksum


def test_bitfinex_writes_an_asks_amount_below_zero():
    assert interleaved_amounts([("6000", "1.5")], [("6001", "0.00000012")]) == interleaved(
        [("6000", "1.5")], [("6001", "-1.2e-7")]
    )


@pytest.mark.parametrize(
    ("plain", "script"),
    [
        ("0.000001", "0.000001"), ("0.0000001", "1e-7"), ("0.00000012", "1.2e-7"), ("0.00000010", "1e-7"), ("12", "12"),
        ("1.0000001", "1.0000001"), ("0", "0"), ("0.00", "0.00"), ("0.000000999", "9.99e-7"),
    ],
)  # fmt: skip
def test_numbers_as_javascript_prints_them(plain, script):
    assert script_number(plain) == script


def test_signed():
    assert [signed(0), signed(2**31 - 1), signed(2**31), signed(2**32 - 1)] == [0, 2**31 - 1, -(2**31), -1]
