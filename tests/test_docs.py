"""What is written about the program agrees with it: generated pages are current, the format's page has the bytes right,
completions load and complete, the README's first block is what it promises."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mdtool.commands.docs import generate
from mdtool.config import tables
from mdtool.model import Flag, Kind
from mdtool.storage.format import layout
from mdtool.venues import catalog

TOP = Path(__file__).parents[1]
GENERATED = generate()
PAGES = sorted((TOP / "man").iterdir())


@pytest.mark.parametrize("path", GENERATED)
def test_generated_files_are_current(path: str) -> None:
    assert (TOP / path).read_text(encoding="utf-8") == GENERATED[path], "run: mdtool docs"


def test_nothing_is_left_of_commands_that_are_gone() -> None:
    by_hand = (
        "changes.7", "config.5", "connections.7", "design.7", "json.7", "runbook.7", "store.5", "venue.7",
    )  # fmt: skip
    written_by_hand = {f"man/mdtool-{name}" for name in by_hand}
    there = {str(path.relative_to(TOP)) for folder in ("man", "completions") for path in (TOP / folder).iterdir()}
    assert there == {*GENERATED, *written_by_hand}


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_man_pages_are_sound_roff(path: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=80n", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "NAME" in done.stdout


def offsets(section: str) -> dict[int, str]:
    """offset -> what is said there, of the table under a heading of mdtool-store(5)."""
    text = (TOP / "man" / "mdtool-store.5").read_text(encoding="utf-8")
    part = re.split(r"^\.S[HS] ", text, flags=re.M)
    body = next(piece for piece in part if piece.startswith(section))
    block = re.search(r"^\.nf\n(.*?)^\.fi", body, flags=re.M | re.S)
    assert block is not None
    rows = (line.split(None, 1) for line in block[1].splitlines())
    return {int(first): rest for first, rest in rows if first.isdecimal()}


@pytest.mark.parametrize(
    ("section", "dtype"),
    [
        ("ROWS", layout.ROW),
        ("Feed slot", layout.FEED_SLOT),
        ("Chunk slot", layout.CHUNK_SLOT),
        ("Cursor slot", layout.CURSOR_SLOT),
    ],
)
def test_the_format_page_has_every_field_where_it_is(section: str, dtype: np.dtype) -> None:
    fields = {dtype.fields[name][1] for name in dtype.names if not name.startswith("reserved")}
    assert set(offsets(section)) == fields


@pytest.mark.parametrize(
    ("section", "dtype", "more"),
    [
        ("registry.bin", layout.STORE_HEADER, {layout.PAGE}),
        ("feed.bin", layout.FEED_HEADER, {layout.SETTINGS_AT, layout.PAGE, layout.CHUNKS_AT}),
        ("Chunk index", layout.CHUNK_HEADER, {layout.NAMES_AT, layout.PAGE}),
    ],
)
def test_the_format_page_has_every_header_field(section: str, dtype: np.dtype, more: set[int]) -> None:
    common = set(offsets("HEADERS"))
    fields = {dtype.fields[name][1] for name in dtype.names}
    assert common <= fields
    assert set(offsets(section)) | common == fields | more


def test_the_format_page_has_every_kind_and_flag() -> None:
    assert {number: text.split()[0] for number, text in offsets("Kinds").items()} == {k.value: k.name for k in Kind}
    assert {number: text.split()[0] for number, text in offsets("Flags").items()} == {f.value: f.name for f in Flag}


def headed(page: str, section: str) -> set[str]:
    """What stands in bold at the head of each paragraph of a section."""
    text = (TOP / "man" / page).read_text(encoding="utf-8")
    body = next(part for part in re.split(r"^\.SH ", text, flags=re.M) if part.startswith(f"{section}\n"))
    return set(re.findall(r"^\.TP\n\\fB(.*)\\fR$", body, flags=re.M))


def settings(table: tables.Table, prefix: str = "") -> set[str]:
    found = set()
    for key, (_, reader) in table.items():
        below = reader.table if isinstance(reader, tables.Each) else reader
        found |= settings(below, f"{prefix}{key}.") if isinstance(below, Mapping) else {f"{prefix}{key}"}
    return found


def test_the_page_of_settings_has_every_key() -> None:
    assert headed("mdtool-config.5", "KEYS") == settings(tables.TOP)


def test_the_page_of_settings_has_every_variable_of_the_environment() -> None:
    """Each that a module of ours names."""
    named = re.compile(r"""["']((?:MDTOOL|XDG|AWS)_[A-Z0-9_]+|HOME|NO_COLOR|COLUMNS)["']""")
    found = {
        name for path in (TOP / "mdtool").rglob("*.py") for name in named.findall(path.read_text(encoding="utf-8"))
    }
    assert headed("mdtool-config.5", "ENVIRONMENT") == found
    other = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\(|env\.get\()["']([A-Z_0-9]+)["']""")
    asked = {
        name for path in (TOP / "mdtool").rglob("*.py") for name in other.findall(path.read_text(encoding="utf-8"))
    }
    assert asked <= found


# Where the shells and man look, below the folder an environment is in.
INSTALLED = {
    **{f"share/man/man{page.suffix[1:]}/{page.name}": page for page in PAGES},
    "share/bash-completion/completions/mdtool.bash": TOP / "completions" / "mdtool.bash",
    "share/zsh/site-functions/_mdtool": TOP / "completions" / "_mdtool",
    "share/fish/vendor_completions.d/mdtool.fish": TOP / "completions" / "mdtool.fish",
}


def test_pages_and_completions_are_data_of_the_package() -> None:
    with open(TOP / "pyproject.toml", "rb") as file:
        data = tomllib.load(file)["tool"]["setuptools"]["data-files"]
    there = {
        f"{where}/{path.name}": path for where, patterns in data.items() for glob in patterns for path in TOP.glob(glob)
    }
    assert there == INSTALLED


def test_a_wheel_has_pages_and_completions(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    for name in ("man", "completions"):
        shutil.copytree(TOP / name, tmp_path / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "mdtool").mkdir()
    (tmp_path / "mdtool" / "__init__.py").touch()
    # Compiling is another matter, and takes a minute.
    code = "from setuptools import setup; setup(ext_modules=[])"
    build = [sys.executable, "-c", code, "-q", "bdist_wheel", "--skip-build"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        data = {
            name.split(".data/data/", 1)[1]: packed.read(name) for name in packed.namelist() if ".data/data/" in name
        }
    assert data == {where: path.read_bytes() for where, path in INSTALLED.items()}


def complete(tmp_path: Path, line: str) -> list[str]:
    """What bash offers at the end of a line, with a store of two feeds."""
    for feed in ("binance/BTC_USDT", "sim/ALPHA_USDT"):
        (tmp_path / "store" / "feeds" / feed).mkdir(parents=True)
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source {TOP}/completions/mdtool.bash; complete -p mdtool >/dev/null || exit 3\n"
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _mdtool; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    environment = {"MDTOOL_STORE": str(tmp_path / "store"), "PATH": "/usr/bin:/bin"}
    bash = ["bash", "--norc", "-u", "-c", script]
    done = subprocess.run(bash, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mdtool re", ["record", "reload", "reconnect", "registry", "replay", "repair"]),
        ("mdtool registry ", ["list", "show", "set", "remove", "verify"]),
        ("mdtool registry list ", ["binance/BTC_USDT", "sim/ALPHA_USDT"]),
        ("mdtool book si", ["sim/ALPHA_USDT"]),
        ("mdtool --store elsewhere book ", []),
        ("mdtool --store store book a", []),
        ("mdtool --store store book b", ["binance/BTC_USDT"]),
        ("mdtool audit --f", ["--from"]),
        ("mdtool record bin", ["binance", "binance-coinm", "binance-usdm"]),
        ("mdtool record binance --live ", ["disk", "shm"]),
        ("mdtool replay --format r", ["raw"]),
        ("mdtool replay --from ", []),
        ("mdtool import --format ", ["hb", "cf", "pat"]),
        ("mdtool sim --venue k", ["kraken"]),
        ("mdtool torture --only kill-s", ["kill-seal"]),
        ("mdtool bench append re", ["receive", "replay"]),
        ("mdtool registry set binance/BTC_USDT l", ["live=", "live-window="]),
        ("mdtool registry set binance/BTC_USDT retain = ", []),
        ("mdtool registry set binance/BTC_USDT retain = 7d", []),
        ("mdtool --", ["--store", "--config", "--verbose", "--version", "--help"]),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, offered: list[str]) -> None:
    assert complete(tmp_path, line) == offered


@pytest.mark.parametrize(("shell", "file"), [("zsh", "_mdtool"), ("fish", "mdtool.fish"), ("bash", "mdtool.bash")])
def test_completions_parse(shell: str, file: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", str(TOP / "completions" / file)], check=True)


def test_the_readme_opens_with_two_commands() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Quick start\n", 1)[1]
    block = re.search(r"^```(\w*)\n(.*?)^```", section, flags=re.M | re.S)
    assert block is not None
    assert block[1] == "sh"
    commands = [line for line in block[2].splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(commands) == 2
    assert commands[0].endswith("mdtool demo")
    assert "pytest" in commands[1]


@pytest.mark.parametrize("path", ["README.md", *(f"man/{page.name}" for page in PAGES)])
def test_nothing_written_names_this_machine(path: str) -> None:
    assert not re.search(r"/tmp/w\b|/work/|/root/", (TOP / path).read_text(encoding="utf-8"))


def test_the_page_of_venues_names_them_all_with_what_proves_them() -> None:
    text = (TOP / "man" / "mdtool-venue.7").read_text(encoding="utf-8").replace("\\-", "-")
    table = text.split("\nvenue ", 1)[1].split("\n.fi", 1)[0]
    rows = {line.split()[0]: re.split(r"\s{2,}", line) for line in table.splitlines()[1:]}
    assert set(rows) == set(catalog.names())
    for name, (_, streams, proof, whole) in rows.items():
        venue = catalog.get(name)
        stream = streams.split(",")[0]
        rule = venue.rule(stream)
        assert stream in venue.default_streams and venue.is_book(stream) and rule is not None
        assert ("sequence" in proof.split(";")[0]) == rule.complete, name
        assert ("checksum" in proof) == (venue.traits(stream).checksum is not None), name
        assert ("connection" in proof) == (venue.connection_rule() is not None), name
        fetched = venue.snapshot_request(venue.default_symbols[0]) is not None
        assert whole.startswith("fetched") == fetched, name
        assert ("timer" in whole) == (venue.snapshot_every > 0), name


def test_the_page_of_connections_has_each_limit_as_it_is() -> None:
    from mdtool.capture import bootstrap, budget, connection, failures, link, snapshot

    text = (TOP / "man" / "mdtool-connections.7").read_text(encoding="utf-8")
    rows = [re.split(r"\s{2,}", line) for line in text.split("\nlimit ", 1)[1].split("\n.fi", 1)[0].splitlines()[1:]]
    assert {name: float(seconds) for name, seconds, _ in rows} == {
        "connect": failures.CONNECT_TIMEOUT,
        "greeting": connection.GREETING_TIMEOUT,
        "heartbeat": link.HEARTBEAT,
        "close": connection.CLOSE_TIMEOUT,
        "overlap": link.OVERLAP,
        "longest overlap": link.LONGEST_OVERLAP,
        "whole answer": snapshot.TIMEOUT,
        "token": bootstrap.TIMEOUT,
        "retry after": failures.LONGEST_RETRY_AFTER,
        "region": snapshot.REGION_PAUSE,
        "budget": budget.FILE_TIMEOUT,
    }
    assert link.MAX_FRAME == snapshot.MAX_BODY == 64 << 20
