"""--json: every report is an object of a schema with the keys of mdtool-json(7) and no others; a failure is one too."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mdtool.audit import findings
from mdtool.capture.options import record_options
from mdtool.clock import DAY, HOUR, SECOND
from mdtool.commands.main import VERBS, build
from mdtool.commands.tree import tree
from mdtool.model import Kind
from mdtool.service.assignment import assignment
from mdtool.service.roster import Roster
from mdtool.storage.format.layout import Location
from mdtool.storage.journal import chunk
from mdtool.storage.store import Store
from mdtool.torture import runner
from mdtool.torture.case import Outcome
from mdtool.venues import catalog

PAGE = (Path(__file__).parents[2] / "man" / "mdtool-json.7").read_text(encoding="utf-8").replace("\\-", "-")
FEED = "sim/ALPHA_USDT"
# Objects whose keys are names of what there happens to be.
BY_NAME = {"streams", "kinds", "decoded", "verdicts", "checksums", "finding_counts", "not_understood", "scenarios"}
DAMAGED = b"1760000000000000000 {\n1760000000000000001 nonsense"


def keys(value: object, at: str = "", *, named: bool = False) -> set[str]:
    """Paths of the keys of a report, as the page writes them."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, below in value.items():
            path = f"{at}.{'NAME' if named else key}" if at else key
            found |= keys(below, path, named=key in BY_NAME and isinstance(below, dict))
            found |= {path} if not isinstance(below, list) else {f"{path}[]"}
    elif isinstance(value, list):
        for below in value:
            found |= keys(below, f"{at}[]")
    return found


def documented() -> dict[str, set[str]]:
    """Heading -> keys below it."""
    parts = re.split(r"^\.S[HS] (.*)\n", PAGE, flags=re.M)[1:]
    return {
        heading: set(re.findall(r"^\.TP \d+\n\\fB(.*)\\fR$", text, flags=re.M))
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


KEYS = documented()


@pytest.fixture
def said(mdtool, tmp_path):
    """Runs a command line with --json; the keys of what it printed."""

    def run(*arguments: object, code: int | None = None) -> set[str]:
        done = mdtool(*arguments, "--json")
        report = json.loads(done.out)
        assert report["schema"] == 1
        assert next(iter(report)) == "schema"
        assert code is None or done.code == code, done.err
        return keys(report)

    return run


def matches(printed: set[str], of: str, *absent: str) -> None:
    """`absent`: keys the page has and these reports happen not to print."""
    plain = {path for path in printed if not path.endswith(".NAME") or path in KEYS[of]}
    assert plain | set(absent) == KEYS[of]
    assert not plain & set(absent)


def test_every_command_with_json_is_on_the_page() -> None:
    leaves = [leaf for leaf in tree(build(), ("mdtool",), VERBS).walk() if not leaf.children]
    asked = {" ".join(leaf.path) for leaf in leaves if any("--json" in option.flags for option in leaf.options)}
    headings = {words for heading in KEYS for words in heading.lower().split(", ")}
    assert {command.removeprefix("mdtool ") for command in asked} - headings == {"tail"}
    assert KEYS["RECORDS"]


def test_settings(said, mdtool, tmp_path) -> None:
    file = tmp_path / "md.toml"
    file.write_text('colour = 1\n[[recording]]\nvenue = "sim"\nkeep_last = 1\n')
    wrong = said("--config", file, "config", "check", code=1)
    file.write_text('[record.streams]\nsim = ["trade"]\n[[recording]]\nvenue = "sim"\n')
    matches(wrong | said("--config", file, "config", "check", code=0), "CONFIG CHECK")
    matches(said("--config", file, "config", "show", code=0), "CONFIG SHOW")


def test_a_reload(said, tmp_path) -> None:
    file = tmp_path / "md.toml"
    file.write_text("colour = 1")
    errors = {"errors[].recorder", "errors[].text"}
    matches(said("--config", file, "reload", code=1) | errors, "RELOAD")


def damage(store: Path) -> None:
    with Store.open(store) as opened:
        _, heap = chunk.chunk_paths(opened.feed(FEED), 1, Location.DISK)
    content = bytearray(heap.read_bytes())
    content[3000] ^= 1
    heap.write_bytes(content)


def test_verify_and_repair(said, alpha) -> None:
    damage(alpha)
    matches(said("--store", alpha, "verify", code=1), "VERIFY, REGISTRY VERIFY")
    matches(said("--store", alpha, "repair", code=1), "REPAIR")
    whole = said("--store", alpha, "registry", "verify", code=0)
    assert whole == {path for path in KEYS["VERIFY, REGISTRY VERIFY"] if not path.startswith("findings[].")}


def test_a_rebuild(said, alpha) -> None:
    (alpha / "registry.bin").unlink()
    printed = said("--store", alpha, "registry", "verify", "--rebuild")
    absent = {path for path in KEYS["REGISTRY VERIFY --REBUILD"] if path.startswith("findings.findings[].")}
    matches(printed, "REGISTRY VERIFY --REBUILD", *absent)


def test_registry_list_and_show(said, alpha) -> None:
    matches(said("--store", alpha, "registry", "list", code=0), "REGISTRY LIST")
    with Store.create(alpha) as store, store.cursor(FEED, "to-redis") as cursor:
        cursor.lease(HOUR)
    matches(said("--store", alpha, "registry", "show", FEED, code=0), "REGISTRY SHOW, REGISTRY SET")
    matches(said("--store", alpha, "registry", "set", FEED, "retain=7d", code=0), "REGISTRY SHOW, REGISTRY SET")


def test_import_and_audit(said, tmp_path, fixture) -> None:
    store = tmp_path / "store"
    matches(
        said("--store", store, "import", "sim", fixture, code=0)
        | said("--store", store, "import", "sim", damaged(tmp_path)),
        "IMPORT",
    )
    with Store.create(store) as opened, opened.writer("sim/BRAVO_USDT", sync="none") as writer:
        stream, session = writer.stream("depth@100ms"), writer.stream("session")
        update = b'{"e":"depthUpdate","E":%d,"s":"BRAVOUSDT","U":%d,"u":%d,"b":[],"a":[]}'
        for at, (connection, first) in enumerate([(1, 1), (1, 3), (1, 9), (2, 20)]):
            if at == 3:
                writer.append(at, Kind.CLOSE, session, 1, b'{"code":1006,"reason":"cut"}')
                writer.append(at, Kind.OPEN, session, 2, b'{"url":"ws://x"}')
            writer.append(at, Kind.DATA, stream, connection, update % (at, first, first + 1))
    printed = said("--store", store, "audit", code=1)
    of_findings = {path for path in printed if path.startswith("feeds[].findings[].")}
    absent = {path for path in KEYS["AUDIT"] if ".checksums" in path or "notes[]." in path} - printed
    matches(printed - of_findings, "AUDIT", *absent)


def damaged(tmp_path: Path) -> Path:
    """A capture with a damaged line, packed, and cut short."""
    import gzip

    path = tmp_path / "damaged.hb.gz"
    text = b'1760000009000000000 {"stream":"x","data":{"e":"news","s":"ALPHAUSDT"}}\n' * 3 + b"nonsense\n"
    path.write_bytes(gzip.compress(text * 200)[:-9])
    return path


def test_findings_of_each_kind() -> None:
    """Their keys by kind, which no one recording shows."""
    text = PAGE.split(".SS Findings\n", 1)[1].split("\n.SH ", 1)[0]
    rows = dict(re.findall(r"^\.TP \d+\n\\fB(.*)\\fR\n(.*)$", text, flags=re.M))
    common = {"at_ns", "stream"}
    expected = {
        kind.kind: ", ".join(one.name for one in fields(kind) if one.name not in common) or "nothing more"
        for kind in findings.Finding.__subclasses__()
    }
    assert rows == expected


def test_book(said, alpha) -> None:
    printed = said("--store", alpha, "book", FEED, code=0)
    absent = {"bid_orders[]", "ask_orders[]", *(f"not_recorded.{key}" for key in ("from_ns", "to_ns", "why"))}
    matches(printed, "BOOK", *absent)
    several = said("--store", alpha, "book", FEED, "--venues", "sim,sim", code=0)
    assert several  # one venue twice is one feed
    with (
        Store.create(alpha) as store,
        store.writer("binance/ALPHA_USDT", sync="none") as writer,
        store.reader(FEED) as of,
    ):
        for record in of.records():
            writer.append(record.recv_ns, record.kind, writer.stream(of.stream_name(record.stream)), 1, record.payload)
    printed = said("--store", alpha, "book", "ALPHA_USDT", "--venues", "all", code=0)
    assert {path for path in printed if path.startswith("books[].")} == {
        f"books[].{path}" for path in KEYS["BOOK"] - absent - {"schema"}
    }
    matches({path for path in printed if not path.startswith("books[].")}, "BOOK --VENUES")


def test_seal_and_clean(said, tmp_path) -> None:
    path, midnight = tmp_path / "store", 1_700_006_400 * SECOND
    with Store.create(path) as store:
        for feed in (FEED, "sim/BRAVO_USDT"):
            with store.writer(feed, sync="none") as writer:
                for day in range(3):
                    writer.append(midnight + day * DAY, Kind.DATA, writer.stream("trade"), 1, b"x" * 99)
        matches(said("--store", path, "seal", code=0) | {"feeds[].foreign[]"}, "SEAL")
        with store.cursor(FEED, "reader") as cursor:
            cursor.lease(HOUR)
            printed = said("--store", path, "clean", "--older-than", "7d", "--dry-run", code=0)
    skipped = {path for path in KEYS["CLEAN"] if path.startswith("feeds[].skipped[].")}
    matches(printed, "CLEAN", *skipped)


def test_torture_and_bench(said, monkeypatch, tmp_path) -> None:
    def play(name: str, place: Path, seed: int) -> Outcome:
        place.mkdir(parents=True)
        outcome = Outcome()
        outcome.faults.append("a fault")
        outcome.silent.append("something")
        return outcome

    monkeypatch.setattr(runner, "play", play)
    matches(said("torture", "--rounds", "1", "--dir", tmp_path, code=1), "TORTURE")
    matches(said("bench", "append", "--quick", code=0), "BENCH")


def test_record(said, tmp_path) -> None:
    arguments = ("--store", tmp_path, "record", "sim", "--url", "ws://127.0.0.1:9", "--for", "0s")
    matches(said(*arguments, code=0), "RECORD", "feeds[]")


@pytest.mark.parametrize("order", ["stop", "snapshot", "reconnect"])
def test_orders(said, alpha, order) -> None:
    """To a recorder that does not answer."""
    options = record_options(catalog.get("sim"), ("ALPHA_USDT",))
    with Store.open(alpha) as store, Roster(alpha).on_duty(assignment("sim", str(alpha), options), store, 1):
        matches(said("--store", alpha, order, code=2), "STOP, SNAPSHOT, RECONNECT")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "--json", "--nothing"], "no option --nothing; see: mdtool audit --help"),
        (["verify", "--json"], "{store}: no such directory, expected an mdtool store"),
    ],
)
def test_a_failure_is_an_object(mdtool, tmp_path, arguments, message) -> None:
    store = tmp_path / "none"
    done = mdtool("--store", store, *arguments)
    assert done.code == 2
    text = message.format(store=store)
    assert done.out.startswith('{"schema":1,"error":{"message":"')
    report = json.loads(done.out)
    assert report["error"]["message"].startswith(text)
    assert report == {"schema": 1, "error": {"message": report["error"]["message"], "exit": 2}}
    assert done.error_line == f"mdtool: {report['error']['message']}"
    assert keys(report) == KEYS["FAILURES"]


def test_without_json_a_failure_is_a_line(mdtool, tmp_path) -> None:
    assert mdtool("--store", tmp_path / "none", "verify").out == ""
