"""Numbers longer than 64 bits and than any screen: exact in JSON and on the page, and never cut without a word."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mdtool.view.line import Line

MOST = "9" * 38 + "." + "9" * 38
NS = 1_755_000_000_000_000_000
ROWS = [
    f'{{"lastUpdateId":100,"bids":[["0.5","{MOST}"],["-1","1e37"]],"asks":[["{MOST}","1e-38"]]}}',
    '{"stream":"bttcusdt@depth@100ms","data":{"e":"depthUpdate","E":1755000000000,"s":"BTTCUSDT","U":101,"u":101,'
    '"b":[["0.25","3"]],"a":[]}}',
    '{"stream":"bttcusdt@trade","data":{"e":"trade","E":1755000000000,"s":"BTTCUSDT","t":1,"p":"0.5",'
    f'"q":"{MOST}","T":1755000000000,"m":false}}}}',
]


@pytest.fixture
def store(tmp_path: Path, mdtool) -> Path:
    capture = tmp_path / "long.hb"
    capture.write_text("".join(f"{NS + number * 10**8} {row}\n" for number, row in enumerate(ROWS)))
    assert mdtool("--store", tmp_path / "store", "import", "binance", capture).code == 0
    return tmp_path / "store"


def test_the_book_in_json_is_exact(store: Path, mdtool) -> None:
    done = mdtool("--store", store, "book", "BTTC_USDT", "--json")
    book = json.loads(done.out)
    zeros = "0" * 38
    assert (done.code, done.err, book["book_state"]) == (0, "", "synced")
    assert book["bids"] == [
        [f"0.5{zeros[:-1]}", MOST],
        [f"0.25{zeros[:-2]}", f"3.{zeros}"],
        [f"-1.{zeros}", f"1{zeros[:-1]}.{zeros}"],
    ]
    assert book["asks"] == [[MOST, f"0.{zeros[:-1]}1"]]
    assert (book["last_trade"]["price"], book["last_trade"]["size"], book["day"]["volume"]) == (
        f"0.5{zeros[:-1]}",
        MOST,
        MOST,
    )


def test_the_audit_is_clean(store: Path, mdtool) -> None:
    done = mdtool("--store", store, "audit")
    assert (done.code, done.out.splitlines()[0].split("  ")[:2]) == (0, ["binance/BTTC_USDT", "clean"])


@pytest.mark.parametrize("columns", [40, 60, 100, 146, 200])
def test_a_number_too_long_for_the_screen_says_so(store: Path, mdtool, monkeypatch, columns: int) -> None:
    def numbers(width: int) -> set[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        done = mdtool("--store", store, "book", "BTTC_USDT", "--once")
        assert (done.code, done.err) == (0, "")
        return {word for word in done.out.split() if re.fullmatch(r"-?[\d,]+(\.\d*)?…?", word)}

    whole = {word for word in numbers(1_000) if "…" not in word}
    assert {MOST, "3." + "0" * 38} < whole
    shown = numbers(columns)
    assert {word for word in shown if "…" not in word} <= whole
    assert any(MOST.startswith(word[:-1]) for word in shown if word.endswith("…"))


def test_a_line_that_is_cut_within_a_number() -> None:
    assert Line(("ask 123.45 x 6", "")).to(8).plain == "ask 123…"
    assert Line(("ask 123.45 x 6", "")).to(10).plain == "ask 123.45"
    assert Line(("ask 123.45", ""), (" x 6", "")).to(4).plain == "ask "
    assert Line(("abcdef", "")).to(3).plain == "abc"
