"""Settings: precedence, XDG, and a clear refusal of what is not understood."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.config import BadConfig, Config, RecordDefaults, Recording, load, store_path
from mdtool.config.lines import Lines
from mdtool.errors import UsageError
from mdtool.units import count


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_defaults(tmp_path: Path) -> None:
    found = load(env={"HOME": str(tmp_path)})
    assert found == Config(store=tmp_path / ".local/share/mdtool", color=None, record=RecordDefaults(), file=None)
    assert found.record == RecordDefaults(chunk_bytes=None, live=None, sync=None, streams={})


def test_options_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    write(tmp_path, "")
    (tmp_path / "mdtool").mkdir()
    write(tmp_path / "mdtool", 'store = "/from/file"')
    env = {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": "/xdg/data"}
    assert store_path({"HOME": "/nowhere", "XDG_DATA_HOME": "/xdg/data"}) == Path("/xdg/data/mdtool")
    assert store_path(env) == Path("/from/file")
    assert store_path({**env, "MDTOOL_STORE": "/from/env"}) == Path("/from/env")
    assert load(env={**env, "MDTOOL_STORE": "/from/env"}, store="/from/option").store == Path("/from/option")


def test_empty_and_relative_environment_counts_as_unset(tmp_path: Path) -> None:
    env = {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": "",
        "XDG_CONFIG_HOME": "relative",
        "MDTOOL_STORE": "",
        "NO_COLOR": "",
    }
    assert load(env=env, store="") == load(env={"HOME": str(tmp_path)})


def test_relative_paths(tmp_path: Path) -> None:
    file = write(tmp_path, 'store = "md"')
    env = {"HOME": "/home/me"}
    assert load(file=file, env=env).store == tmp_path / "md"  # beside the file that says so
    assert load(file=file, env=env, store="md").store == Path.cwd() / "md"
    assert load(env=env, store="~/md").store == Path("/home/me/md")


def test_the_whole_file(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        store = "~/md"
        color = "never"
        [record]
        chunk_size = "16MiB"
        live = "shm"
        sync = "chunk"
        ca = "~/ca.pem"
        deflate = true
        [record.streams]
        binance-usdm = ["depth@0ms", "trade"]
        """,
    )
    assert load(file=str(file), env={"HOME": "/home/me"}) == Config(
        store=Path("/home/me/md"),
        color=False,
        record=RecordDefaults(
            chunk_bytes=16 << 20,
            live="shm",
            sync="chunk",
            streams={"binance-usdm": ("depth@0ms", "trade")},
            ca="/home/me/ca.pem",
            deflate=True,
        ),
        file=file,
    )


def test_color(tmp_path: Path) -> None:
    file = write(tmp_path, 'color = "always"')
    assert load(file=file, env={"HOME": "/"}).color is True
    assert load(file=file, env={"HOME": "/", "NO_COLOR": "1"}).color is False
    assert load(file=file, env={"HOME": "/", "NO_COLOR": "1"}, color=True).color is True


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('stor = "/md"', [(1, "unknown key 'stor'; did you mean store? See man mdtool-config")]),
        ("zzz = 1", [(1, "unknown key 'zzz'; expected one of store, color, record, recording")]),
        (
            "[record]\nquite = 1",
            [
                (
                    2,
                    "unknown key 'record.quite'; expected one of record.chunk_size, record.live, record.sync, "
                    "record.ca, record.deflate, record.streams",
                )
            ],
        ),
        ("store = 5", [(1, 'store is 5, expected a path as text, as in "/data/md"')]),
        ("record = true", [(1, "record is True, expected a table [record]")]),
        ('[record]\nlive = "ram"', [(2, """record.live is 'ram', expected "disk" or "shm\"""")]),
        (
            '[record]\nchunk_size = "64M"',
            [(2, """record.chunk_size is '64M', expected a size above 0, as in "64MiB\"""")],
        ),
        (
            "[record]\nchunk_size = true",
            [(2, """record.chunk_size is True, expected a size above 0, as in "64MiB\"""")],
        ),
        (
            '[record.streams]\nbybit = "trade"',
            [
                (
                    1,
                    "record.streams is {'bybit': 'trade'}, "
                    'expected a table of lists of streams by venue, as in VENUE = ["trade"]',
                )
            ],
        ),
        ("color = 1", [(1, 'color is 1, expected "auto", "always" or "never"')]),
        ("\nstore = ", [(2, "no valid TOML: Invalid value (at end of document)")]),
        ("\n\nstore = ]\n", [(3, "no valid TOML: Invalid value")]),
        ("recording = 1", [(1, "recording is 1, expected tables, each headed [[recording]]")]),
        (
            "[recording]\nvenue = 'sim'",
            [(1, "recording is {'venue': 'sim'}, expected tables, each headed [[recording]]")],
        ),
        (
            "color = 'red'\n[[recording]]\nsymbols = []\nshards = 0\n[[recording]]\nvenue = 'sim'\ncpu = '4-'\n"
            "retain = '30 d'\nkeep_last = 'no'\nmax_bytes = true\nurl = ''",
            [
                (1, """color is 'red', expected "auto", "always" or "never\""""),
                (2, '[[recording]] has no venue; add one, as in venue = "sim"'),
                (3, """recording.symbols is [], expected a list of texts, as in ["BTC_USDT", "*_EUR"]"""),
                (4, "recording.shards is 0, expected a whole number from 1 to 64"),
                (7, """recording.cpu is '4-', expected numbers of CPUs, as in [2, 3] or "4-7\""""),
                (8, """recording.retain is '30 d', expected a duration as text, as in "30d" or "12h", or "off\""""),
                (9, """recording.keep_last is 'no', expected a whole number from 0 to 4294967295, or "off\""""),
                (10, """recording.max_bytes is True, expected a size, as in "100GiB", or "off\""""),
                (11, """recording.url is '', expected text, as in "wss://127.0.0.1:7801\""""),
            ],
        ),
    ],
)
def test_what_is_not_understood_is_found_all_at_once_each_with_its_line(
    tmp_path: Path, text: str, found: list[tuple[int, str]]
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(BadConfig) as caught:
        load(file=file, env={"HOME": "/"})
    assert [(one.line, one.text) for one in caught.value.findings] == found
    first = f"{file}:{found[0][0]}: {found[0][1]}"
    more = f"; {count(len(found) - 1, 'finding')} more, see: mdtool config check" if len(found) > 1 else ""
    assert str(caught.value) == first + more


def test_recordings(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        [[recording]]
        venue = "sim"
        symbols = "ALPHA_USDT"
        exclude = ["B*"]
        streams = ["trade"]
        url = "ws://127.0.0.1:1"
        rest = "http://127.0.0.1:2"
        live = "shm"
        sync = "none"
        chunk_size = 4096
        shards = 2
        cpu = "0,2-3"
        live_window = "1h"
        retain = "7d"
        max_bytes = "OFF"
        keep_last = 3
        archive = "off"
        [[recording]]
        venue = "sim"
        cpu = 1
        """,
    )
    config = load(file=file, env={"HOME": "/"})
    hour = 3_600 * 10**9
    assert config.recordings == (
        Recording(
            venue="sim", symbols=("ALPHA_USDT",), exclude=("B*",), streams=("trade",), url="ws://127.0.0.1:1",
            rest="http://127.0.0.1:2", live="shm", sync="none", chunk_bytes=4096, shards=2, cpus=(0, 2, 3),
            live_window_ns=hour, retain_ns=7 * 24 * hour, max_bytes=0, keep_last=3, archive="",
        ),
        Recording(venue="sim", cpus=(1,)),
    )  # fmt: skip
    assert config.recordings[0].kept == {
        "live_window_ns": hour, "retain_ns": 7 * 24 * hour, "max_bytes": 0, "keep_last": 3, "archive": "",
    }  # fmt: skip
    assert config.recordings[1].kept == {}
    assert config.where(("recording", 1, "cpu")) == f"{file}:21"
    assert config.where(("recording", 1, "shards")) is None


def test_lines_of_all_that_toml_allows() -> None:
    lines = Lines(TOML)
    assert tomllib.loads(TOML)["last"] == 1  # it is one
    expected = {
        ("a",): 2, ("b c",): 3, ("d",): 4, ("d", "e"): 4, ("d", "e", "f"): 4, ("text",): 5, ("raw",): 9,
        ("list",): 11, ("list", 0): 12, ("list", 1): 13, ("list", 1, 0): 14, ("inline",): 17, ("inline", "x"): 17,
        ("inline", "y", "z"): 17, ("when",): 18, ("last",): 19, ("t",): 21, ("t", "u"): 21, ("t", "u", "k"): 22,
        ("many", 0): 23, ("many", 0, "n"): 24, ("many", 1): 25, ("many", 1, "n"): 26, ("many", 1, "sub"): 27,
        ("many", 1, "sub", "m"): 28, ("many", 1, "deep", 0): 29, ("many", 1, "deep", 0, "k"): 30,
    }  # fmt: skip
    assert {key: lines.exactly(key) for key in expected} == expected
    assert lines.of(("many", 1, "n", 7)) == 26
    assert lines.of(("nobody",)) is None


TOML = (
    r"""# first
a = 1 # "
"b c" = 'x' """
    + "\n"
    + r'''d . "e".f = "]\"#"
text = """ a = 1
[x]
"quoted" \""" still
"""""
raw = '''
    + "'''\n[y]'''\n"
    + r"""list = [
  1, # one
  [
    "]", { k = [1,
    2] } ],
]
inline = { x = 1, y.z = "}" }
when = 1979-05-27 07:32:32
last = 1

[t.u]
k = -1e5
[[many]]
n = 1
[[many]]
n = 2
[many.sub]
m = 3
[[many.deep]]
k = true"""
)


@given(st.text("ab1.=[]{}\"'#,\n\\ -", max_size=60))
def test_lines_of_whatever_parses_are_found_and_nothing_else_fails(text: str) -> None:
    lines = Lines(text)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    def paths(value: object, path: tuple[str | int, ...]) -> None:
        if path:
            assert lines.exactly(path) is not None, path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, below in items:
            paths(below, (*path, key))

    paths(found, ())


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml: no such file, expected settings in TOML"):
        load(file=tmp_path / "gone.toml", env={"HOME": "/"})
    with pytest.raises(UsageError, match="expected a readable file of settings"):
        load(file=tmp_path, env={"HOME": "/"})
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'store = "\xe9"')
    with pytest.raises(UsageError, match="not UTF-8"):
        load(file=latin, env={"HOME": "/"})


def test_settings_cost_no_heavy_import() -> None:
    code = (
        "import sys, mdtool.config; mdtool.config.load(env={'HOME': '/'});"
        "print(sorted({'numpy', 'pyarrow', 'aiohttp', 'msgspec'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "[]\n"
