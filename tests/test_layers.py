"""The house keeps its shape: imports point down, only the top prints, venues' names stay where they belong.

The table is data: a package that is not in it, or an import it does not allow, fails here with file and line.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdtool

ROOT = Path(mdtool.__file__).parent
TOP = ROOT.parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "build" not in path.relative_to(ROOT).parts)

BASE = {"errors", "clock"}
MAY_IMPORT = {
    "errors": set(),
    "model": set(),
    "units": {"errors"},
    "clock": {"errors"},
    "config": {"errors", "units"},
    "arrow": set(),
    "kernel": set(),
    "storage": {"kernel", "model", "units", "arrow"} | BASE,  # in wings, see below
    "venues": {"kernel", "model", "errors", "units"},
    "books": {"kernel", "model", "errors", "venues", "arrow"},
    "history": {"storage", "venues", "books", "model"} | BASE,
    "capture": {"history", "storage", "venues", "books", "model", "config", "units"} | BASE,
    "service": {"capture", "history", "storage", "venues", "books", "model", "config", "units"} | BASE,
    "replay": {"storage", "model"} | BASE,
    "exchange": {"replay", "history", "storage", "venues", "books", "model"} | BASE,
    "audit": {"history", "storage", "venues", "books", "model", "errors", "units"},
    "interop": {"storage", "venues", "model", "errors", "units"},
    "view": {"model", "units", "books"},
    "api": {"history", "storage", "venues", "errors"},
}
EVERYTHING = {*MAY_IMPORT, "bench", "torture", "commands", ""}
for above_the_tasks in ("bench", "torture"):  # they exercise whatever there is
    MAY_IMPORT[above_the_tasks] = EVERYTHING - {"commands", "view", "bench", "torture", "api", ""}
MAY_IMPORT["commands"] = EVERYTHING
MAY_IMPORT["__main__"] = EVERYTHING
MAY_IMPORT[""] = EVERYTHING - {"commands", "view", "bench", "torture"}  # the API's face: mdtool/__init__.py

# Within storage: a wing is a folder, and what lies beside them (its face, `files`) a row of its own.
STORAGE = "storage"
DISK = {"files", "format"}
WINGS = {
    "files": set(),
    "format": set(),
    "journal": DISK,
    "parts": DISK | {"journal"},
    "reading": DISK | {"journal", "parts"},
    "upkeep": DISK | {"journal", "parts", "reading"},
    "doctor": DISK | {"journal", "parts", "reading"},
    "settings": DISK | {"journal", "parts"},
    "store": DISK | {"journal", "parts", "reading", "settings"},
    "discovery": {"reading", "store"},
    "": set(),
}

TALKERS = {"commands", "view", "__main__"}  # who may print and draw
VENUE_WORDS = re.compile(
    r"\b(binance|bybit|okx|coinbase|kraken|deribit|bitstamp|hyperliquid|kucoin|bitfinex|gateio)\b", re.IGNORECASE
)
NAMES_VENUES = {"venues", "exchange", "interop", "commands"}
SANS_IO = {"venues", "books"}
NO_NAME = {"utils", "util", "common", "helpers", "helper", "misc"}
LONGEST = 420  # lines; a module beyond is two modules
ONLY_CLIENT = {
    "websockets",
    "aiohttp",
}  # network libraries: capture (client), exchange and service (servers), bench (both)
NETWORKED = {"capture", "service", "exchange", "bench"}


def package(path: Path) -> str:
    """The row of the table a module falls under."""
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def wing(path: Path) -> str:
    """The row of WINGS a module of storage falls under."""
    first = path.relative_to(ROOT / STORAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import anywhere in the file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it out"
            module = node.module or ""
            # `from mdtool import errors` names a module by its alias.
            for alias in node.names:
                named = f"{module}.{alias.name}"
                is_module = (TOP / named.replace(".", "/")).is_dir() or (TOP / f"{named.replace('.', '/')}.py").exists()
                yield node.lineno, named if module == "mdtool" or is_module else module


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


def test_every_package_has_a_row() -> None:
    assert {package(path) for path in MODULES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_down(path: Path) -> None:
    own = package(path)
    wrong = []
    for line, module in imports(path):
        first, _, rest = module.partition(".")
        target = rest.split(".")[0]
        if first != "mdtool":
            continue
        if not (ROOT / target).is_dir() and not (ROOT / f"{target}.py").exists():
            target = ""  # a name of the package's face, as in `from mdtool import __version__`
        if target != own and target not in MAY_IMPORT[own]:
            wrong.append(f"{name(path)}:{line}: {own or 'mdtool'} may not import {module}")
    assert not wrong


def test_every_wing_has_a_row() -> None:
    assert {wing(path) for path in MODULES if package(path) == STORAGE} == set(WINGS)


@pytest.mark.parametrize("path", [path for path in MODULES if package(path) == STORAGE], ids=name)
def test_imports_point_down_between_the_wings(path: Path) -> None:
    own = wing(path)
    wrong = []
    for line, module in imports(path):
        parts = module.split(".")
        if parts[:2] == ["mdtool", STORAGE] and len(parts) > 2 and parts[2] != own and parts[2] not in WINGS[own]:
            wrong.append(f"{name(path)}:{line}: {STORAGE}/{own} may not import {module}")
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_top_prints(path: Path) -> None:
    own = package(path)
    if own in TALKERS:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prints = [
        f"{name(path)}:{node.lineno}: print"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    draws = [
        f"{name(path)}:{line}: {module}"
        for line, module in imports(path)
        if module.split(".")[0] in {"rich", "typer", "click"}
    ]
    assert not prints + draws


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_view_prints_in_one_place(path: Path) -> None:
    if package(path) not in TALKERS or path.name == "output.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name):
            assert called.id != "print", f"{name(path)}:{node.lineno}: print; use Output"
        if isinstance(called, ast.Attribute):
            assert ast.unparse(called) not in {
                "sys.stdout.write",
                "sys.stderr.write",
                "typer.echo",
                "typer.secho",
            }, f"{name(path)}:{node.lineno}: use Output"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_venues_names_stay_home(path: Path) -> None:
    if package(path) in NAMES_VENUES or package(path) == "":
        return
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if VENUE_WORDS.search(line)
    ]
    assert not found


# A number put into words and a noun in the plural behind it: "1 records".
NOUNS = (
    "bytes|checksums|chunks|entries|feeds|files|findings|gaps|levels|lines|losses|messages|parts|records|requests|rows|"
    "sessions|snapshots|streams|symbols|times|updates"
)
COUNTED = re.compile(rf"\{{(?!(\w+\.)?[A-Z_]+\}})[^{{}}]*\}} (more |whole |committed |closed )?({NOUNS})\b(?! of)")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_counted_words_have_one_place(path: Path) -> None:
    """`units.count` knows that one record is no records."""
    if package(path) == "bench":
        return  # its figures are many, and seldom whole
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [
        f"{name(path)}:{node.lineno}: {text}"
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for text in [ast.unparse(node)]
        if COUNTED.search(text)
    ]
    assert not wrong


@pytest.mark.parametrize("path", [p for p in MODULES if package(p) in SANS_IO], ids=name)
def test_sans_io(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith), (
            f"{name(path)}:{node.lineno}: async in a sans-IO package"
        )
    outside = {"socket", "asyncio", "time", "random", "threading", "subprocess", *ONLY_CLIENT}
    assert not {module.split(".")[0] for _, module in imports(path)} & outside


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_network_has_its_places(path: Path) -> None:
    if package(path) in NETWORKED:
        return
    assert not {module.split(".")[0] for _, module in imports(path)} & ONLY_CLIENT


def test_every_file_has_a_name_of_its_own() -> None:
    assert not [name(path) for path in ROOT.rglob("*") if path.stem in NO_NAME]


def test_no_module_is_two() -> None:
    sources = [
        *MODULES,
        *ROOT.rglob("*.p[yx][xi]"),
    ]  # of the kernel a .pxi is a module: included, as inlining stops else
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST}


def test_no_two_test_files_are_called_the_same() -> None:
    """Folders of tests are no packages: the second of a name would not be run, and a child may import the wrong one."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py")
    assert [one for one, count in names.items() if count > 1] == []


def test_the_top_folder_holds_what_it_should() -> None:
    """New top-level things are a decision, not an accident; what git ignores does not count."""
    wanted = {".ci", ".gitignore", "LICENSE", "README.md", "completions", "fixtures", "man", "mdtool", "pyproject.toml"}
    wanted.add("tests")
    ignored = {
        ".git",
        "build",
        "dist",
        ".venv",
        ".pytest_cache",
        ".hypothesis",
        ".mypy_cache",
        ".ruff_cache",
        "__pycache__",
    }
    there = {path.name for path in TOP.iterdir() if not path.name.endswith(".egg-info")}
    assert there - ignored == wanted


def test_the_version_is_said_once() -> None:
    declared = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert mdtool.__version__ == declared
