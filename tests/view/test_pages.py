"""Help, man pages, records and tables: drawn from plain values."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from mdtool.model import Kind
from mdtool.view.audit import SHOWN, audit_page, audit_summary
from mdtool.view.bench import number
from mdtool.view.help import help_page
from mdtool.view.manpages import pages
from mdtool.view.moments import moment, stretch
from mdtool.view.records import kind_name, record_line
from mdtool.view.tree import Argument, Command, Option

LEAF = Command(
    path=("mdtool", "fetch"),
    summary="Fetch things.",
    description=("It does so with care, and it takes as long as it takes to fetch every one of the things there are.",),
    options=(
        Option(("-n", "--lines"), "N", "how many", "10"),
        Option(("--form",), "a|b", "which", choices=("a", "b")),
        Option(("-h", "--help"), None, "Show help."),
    ),
    arguments=(Argument("THING", "What to fetch.", True, False), Argument("MORE", "And more.", False, True)),
    examples=(("mdtool fetch it's", "one thing"), ("mdtool fetch . --form b", "another")),
    exit_one="nothing was there",
)
ROOT = Command(("mdtool",), "Do things.", (), (Option(("-h", "--help"), None, "Show help."),), (), children=(LEAF,))


def text(what: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_help_page() -> None:
    assert help_page(LEAF, 70) == (
        "Usage: mdtool fetch [option ...] THING [MORE ...]\n\n"
        "  Fetch things.\n\n"
        "  It does so with care, and it takes as long as it takes to fetch\n"
        "  every one of the things there are.\n\n"
        "Arguments:\n"
        "  THING  What to fetch.\n"
        "  MORE   And more.\n\n"
        "Options:\n"
        "  -n, --lines N  how many [10]\n"
        "  --form a|b     which\n"
        "  -h, --help     Show help.\n\n"
        "Examples:\n"
        "  mdtool fetch it's        one thing\n"
        "  mdtool fetch . --form b  another\n"
    )


def test_help_of_a_group_lists_its_commands() -> None:
    assert "Usage: mdtool [option ...] COMMAND ...\n" in help_page(ROOT, 80)
    assert "Commands:\n  fetch  Fetch things.\n" in help_page(ROOT, 80)


@given(st.integers(0, 300))
def test_help_keeps_to_the_terminal(columns: int) -> None:
    assert max(map(len, help_page(LEAF, columns).splitlines())) <= max(50, min(columns, 100))


def test_man_pages_escape_what_roff_reads() -> None:
    made = pages(ROOT, (), "1.2.3")
    assert set(made) == {"mdtool.1", "mdtool-fetch.1"}
    page = made["mdtool-fetch.1"].splitlines()
    assert '.TH "MDTOOL\\-FETCH" "1" "" "mdtool 1.2.3" "mdtool manual"' in page
    assert "\\fBmdtool fetch it\\(aqs\\fR" in page
    assert "\\fB\\-n\\fR, \\fB\\-\\-lines\\fR \\fIN\\fR" in page
    assert "How many. Default: 10." in page
    assert page[page.index("1") + 1] == "Nothing was there."


def test_moments() -> None:
    assert moment(1_723_161_255_088_156_767) == "2024-08-08 23:54:15.088"
    assert moment(None) == stretch(None, 5) == "-"
    assert stretch(1_723_161_255 * 10**9, 1_723_161_256 * 10**9) == "2024-08-08 23:54:15 to 23:54:16"
    assert stretch(1_723_161_255 * 10**9, 1_723_261_255 * 10**9) == "2024-08-08 23:54:15 to 2024-08-10 03:40:55"


@pytest.mark.parametrize(("value", "shown"), [(12345.6, "12,346"), (192.4, "192"), (40.06, "40.1"), (2.774, "2.77")])
def test_figures(value: float, shown: str) -> None:
    assert number(value) == shown


def test_record_lines() -> None:
    def line(kind: int, payload: bytes, width: int | None) -> str:
        return record_line(1_723_161_255_088_156_767, "sim/A_USDT", "trade", kind, payload, width).plain

    head = "2024-08-08 23:54:15.088  sim/A_USDT  trade"
    assert line(Kind.DATA, b'{"a":1}', None) == f'{head}  {{"a":1}}'
    assert line(Kind.CLOSE, b"\x00\n\xff", None) == f"{head}  CLOSE  \\x00\\n\\xff"
    assert line(Kind.DATA, b"x" * 100, 50) == f"{head[11:]}  {'x' * 16}…"  # narrow: without the day
    assert line(Kind.DATA, b"x" * 100, 110) == f"{head}  {'x' * 65}…"
    assert line(99, b"", None) == f"{head}  #99  "
    assert kind_name(99) == "#99"


@given(payload=st.binary(max_size=200), width=st.integers(10, 120))
def test_record_lines_fit_and_are_printable(payload: bytes, width: int) -> None:
    line = record_line(0, "sim/A_USDT", "trade", Kind.DATA, payload, width)
    assert line.cell_len <= width
    assert line.plain.isprintable()


def report(**changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "feed": "sim/A_USDT",
        "from_ns": 0,
        "to_ns": 10**9,
        "records": 3,
        "epochs": 1,
        "sessions": 1,
        "streams": {},
        "findings": [],
        "finding_counts": {},
        "intervals": [],
        "notes": [],
        "reconnects": [],
        "recv_minus_venue": None,
        "clean": True,
        "verdict": "clean",
        "error": None,
    }
    return values | changes


def test_many_findings_are_counted_not_listed() -> None:
    findings = [{"at_ns": n, "stream": "trade", "text": f"gap {n}"} for n in range(100)]
    page = text(audit_page(report(findings=findings, finding_counts={"gap": 150}, clean=False, verdict="findings")))
    assert page.startswith("sim/A_USDT  150 gaps  3 records")
    assert page.count("trade  gap ") == SHOWN
    assert "  and 130 more; --json lists them\n" in page


def test_a_clock_that_was_behind_is_no_latency() -> None:
    offset = {"min_ns": -1_300_000_000, "median_ns": -1_200_000_000, "max_ns": -1_100_000_000}
    page = text(audit_page(report(recv_minus_venue=offset)), 200)
    assert "received 1.2s before the venue's own time (median; -1.3s to -1.1s): the recorder's clock was behind" in page


def test_audit_summary() -> None:
    broken = report(finding_counts={"gap": 2, "out_of_order": 1}, clean=False, verdict="findings")
    failed = report(error="no adapter", clean=False, verdict="failed")
    assert text(audit_summary([report(), broken, failed])) == (
        "3 feeds, 1 clean, 2 gaps, 1 out of order, 1 that could not be audited\n"
    )
