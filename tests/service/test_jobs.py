"""What settings ask for: symbols and patterns, feeds asked for twice, and all that is wrong, at once."""

from __future__ import annotations

import os

import pytest

from mdtool.config import BadConfig, load
from mdtool.service.jobs import jobs, load_jobs


def settings(tmp_path, text):
    file = tmp_path / "config.toml"
    file.write_text(text)
    return lambda: load(file=file, env={"HOME": "/"})


def findings(tmp_path, text):
    with pytest.raises(BadConfig) as caught:
        load_jobs(settings(tmp_path, text))
    return [(one.line, one.text) for one in caught.value.findings]


def test_each_recording_is_a_job(tmp_path):
    load_it = settings(
        tmp_path,
        """
        [record]
        live = "shm"
        chunk_size = "1MiB"
        streams.sim = ["bookTicker"]
        [[recording]]
        venue = "SIM"
        symbols = ["alphausdt", "ALPHA_USDT", "*VO_*"]
        url = "ws://127.0.0.1:9"
        retain = "1d"
        shards = 2
        [[recording]]
        venue = "sim"
        exclude = ["A*", "BRAVO_USDT"]
        streams = ["trade"]
        live = "disk"
        sync = "none"
        """,
    )
    first, second = jobs(load_it())
    assert first.feeds == ("sim/ALPHA_USDT", "sim/BRAVO_USDT")
    assert (first.options.streams, first.options.ws_url, first.options.rest_url) == (
        ("bookTicker",), "ws://127.0.0.1:9", "http://127.0.0.1:9",
    )  # fmt: skip
    assert (first.options.live, first.options.chunk_bytes, first.options.sync) == ("shm", 1 << 20, "1s")
    assert (first.shards, first.cpus, first.kept) == (2, (), {"retain_ns": 86_400 * 10**9})
    assert first.where == f"{tmp_path}/config.toml:6"
    assert second.feeds == ("sim/CHARLIE_USDT", "sim/DELTA_USDT")
    assert (second.options.streams, second.options.live, second.options.sync) == (("trade",), "disk", "none")
    assert (second.options.chunk_bytes, second.kept) == (1 << 20, {})


@pytest.mark.parametrize(
    ("venue", "pattern", "some"),
    [
        ("binance", "*_EUR", "BTC_EUR"),
        ("binance", "btceur", "BTC_EUR"),
        ("binance-coinm", "*_PERP", "ADA_USD_PERP"),
        ("kraken", "xbt*usd", "BTC_USD"),
        ("okx", "BTC-*", "BTC_USDT"),
    ],
)
def test_patterns_are_held_against_what_a_venue_lists(tmp_path, venue, pattern, some):
    (job,) = jobs(settings(tmp_path, f"[[recording]]\nvenue = '{venue}'\nsymbols = '{pattern}'")())
    assert some in job.options.symbols
    assert job.options.venue.plan(job.options.symbols, job.options.streams)


def test_what_is_wrong_is_found_at_once_be_it_with_the_keys_or_with_what_they_say(tmp_path):
    found = findings(
        tmp_path,
        """colour = 1
[record.streams]
sin = ["trade"]
sim = ["trade", "b k"]
[[recording]]
venue = "sim"
symbols = [
    "ALPHA_USDT",
    "!!",
    "*_EUR",
]
streams = ["trade", "no such"]
cpu = [1023]
chunk_size = 5
archive = "ftp://x"
url = "http://x"
rest = "ws://x"
[[recording]]
venue = "sim"
exclude = ["*"]
[[recording]]
venue = "simm"
[[recording]]
venue = "sim"
[[recording]]
symbols = ["A_USDT"]
[[recording]]
venue = "sim"
symbols = ["DELTA_USDT", "ALPHA_USDT"]
""",
    )
    usable = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    words = dict(found)
    assert [line for line, _ in found] == [1, 3, 4, 9, 10, 12, 13, 14, 15, 16, 17, 20, 22, 25, 29]
    assert words[1] == "unknown key 'colour'; did you mean color? See man mdtool-config"
    assert words[3].startswith("unknown venue 'sin'; did you mean sim? There are: ")
    assert words[4] == "sim: 'b k' is no stream; expected the form of 'depth@100ms' or 'trade'"
    assert words[9] == "sim: '!!' is no symbol; expected the form BTC_USDT or BTCUSDT"
    assert words[10] == "'*_EUR' is like no symbol that sim is known to list; what is not known can be named"
    assert words[12] == "sim: 'no such' is no stream; expected the form of 'depth@100ms' or 'trade'"
    assert words[13] == f"cpu: no CPU 1023 here; there are {usable}"
    assert words[14] == "chunk size 5: expected 4096 bytes to 1 TiB"
    assert words[15].startswith("archive 'ftp://x': expected a directory, or a URI of one of ")
    assert words[16] == "URL 'http://x': expected ws://host[:port] or wss://host[:port]"
    assert words[17] == "URL 'ws://x': expected http://host[:port] or https://host[:port]"
    assert words[20] == "exclude leaves no symbol; take something out of it"
    assert words[25] == '[[recording]] has no venue; add one, as in venue = "sim"'
    assert words[29] == (
        f"sim/DELTA_USDT, sim/ALPHA_USDT: recorded by the [[recording]] of {tmp_path}/config.toml:23 already; "
        "take it out of one of the two"
    )


def test_of_symbols_that_could_not_be_read_nothing_more_is_said(tmp_path):
    text = "[[recording]]\nvenue = 'sim'\n[[recording]]\nvenue = 'sim'\nsymbols = 5"
    assert findings(tmp_path, text) == [
        (5, 'recording.symbols is 5, expected a list of texts, as in ["BTC_USDT", "*_EUR"]')
    ]
