"""Wrapping and unwrapping: whatever the form a payload was recorded in, its data keeps its bytes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.exchange.binance import protocol_for

NAME = "ethusdt@depth@0ms"
PROTOCOL = protocol_for("binance-usdm")
SPACE = st.text(" \n\t", max_size=3)


@given(SPACE, SPACE, SPACE, st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8), max_size=4))
def test_data_keeps_its_bytes(a: str, b: str, c: str, value: dict[str, object]) -> None:
    data = json.dumps(value).encode()
    usual = b'{"stream":"ethusdt@depth@0ms","data":' + data + b"}"
    assert PROTOCOL.frame(NAME, data, True) == usual
    assert PROTOCOL.frame(NAME, usual, True) == usual
    assert PROTOCOL.frame(NAME, usual, False) == data
    unusual = f'{{{a}"stream"{b}: "ethusdt@depth@0ms",{c} "data":'.encode() + data + b"}\n"
    assert PROTOCOL.frame(NAME, unusual, True) == unusual
    assert PROTOCOL.frame(NAME, unusual, False) == data


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[1,2]", b'{"stream":1,"data":2}', b"not json"])
def test_what_is_not_combined_is_data(payload: bytes) -> None:
    assert PROTOCOL.frame(NAME, payload, False) == payload
    assert PROTOCOL.frame(NAME, payload, True) == b'{"stream":"ethusdt@depth@0ms","data":' + payload + b"}"


@pytest.mark.realdata
def test_real_messages_come_apart_and_together(realdata: Path) -> None:
    with gzip.open(realdata / "binance_usdm" / "btcusdt_20240808_head3000.hb.gz", "rb") as lines:
        payloads = [line.split(b" ", 1)[1].rstrip(b"\n") for line in lines]
    combined = [payload for payload in payloads if payload.startswith(b'{"stream"')]
    assert len(combined) > 2900
    for payload in combined:
        name = json.loads(payload)["stream"]
        data = PROTOCOL.frame(name, payload, False)
        assert json.loads(data) == json.loads(payload)["data"]
        assert PROTOCOL.frame(name, data, True) == payload
