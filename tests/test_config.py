"""Settings: precedence, XDG, and a clear refusal of what is not understood."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdtool.config import Config, RecordDefaults, load, store_path
from mdtool.errors import UsageError


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
    ("text", "message"),
    [
        ('stor = "/md"', "unknown key 'stor'; expected one of store, color, record"),
        (
            "[record]\nchunks = 1",
            "unknown key 'record.chunks'; expected one of record.chunk_size, record.live, "
            "record.sync, record.ca, record.deflate, record.streams",
        ),
        ("store = 5", 'store is 5, expected a path as text, as in "/data/md"'),
        ("record = true", "record is True, expected a table [record]"),
        ('[record]\nlive = "ram"', """record.live is 'ram', expected "disk" or "shm\""""),
        (
            '[record]\nchunk_size = "64M"',
            """record.chunk_size is '64M', expected a size above 0, as in "64MiB\"""",
        ),
        (
            "[record]\nchunk_size = true",
            """record.chunk_size is True, expected a size above 0, as in "64MiB\"""",
        ),
        (
            '[record.streams]\nbybit = "trade"',
            "record.streams is {'bybit': 'trade'}, "
            'expected a table of lists of streams by venue, as in VENUE = ["trade"]',
        ),
        ("color = 1", 'color is 1, expected "auto", "always" or "never"'),
        ("store = ", "no valid TOML: Invalid value (at end of document)"),
    ],
)
def test_what_is_not_understood_names_file_key_and_expectation(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(file=file, env={"HOME": "/"})
    assert str(caught.value) == f"{file}: {message}"


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
