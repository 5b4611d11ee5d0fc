"""Other tools' captures into a store: their bytes, their receive times, their order.

Rule: an import adds history, it never interleaves it. What is there already is recognised by its content and passed
over, so that an import that was broken off is gone on with by doing it again; what is new and does not lie behind
everything a feed already holds is refused before anything is written. No damage ends an import: what can be read is
read, and the rest is kept as it stands and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from pathlib import Path

from mdtool.errors import ImportFormatError, ImportInterrupted, UsageError
from mdtool.interop.lines import STDIN, Stop, is_read_once, name_of, open_file
from mdtool.interop.report import FeedImport, ImportReport, kept
from mdtool.interop.source import ImportFile, format_named
from mdtool.interop.writing import Import, reaches
from mdtool.storage.store import Store
from mdtool.units import count
from mdtool.venues.venue import Venue

__all__ = ["FeedImport", "ImportReport", "Stop", "import_file", "import_files"]

MOST_BACK = 3600 * 10**9  # ns by which a file steps back behind its first time, at most

Progress = Callable[[int, int | None], None]  # bytes of the files read; bytes of the files, None where nobody knows


def import_file(
    store: Store,
    venue: Venue,
    path: Path | str,
    *,
    symbol: str | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """One file; see import_files."""
    return import_files(store, venue, [path], symbol=symbol, progress=progress)


def import_files(
    store: Store,
    venue: Venue,
    paths: Sequence[Path | str],
    *,
    symbol: str | None = None,
    form: str | None = None,
    zone: tzinfo | None = None,
    allow_overlap: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> ImportReport:
    """Files of one venue, merged by receive time, so that a websocket file and its REST file become one history.

    `symbol`: of REST bodies that stand before any frame naming one, in either spelling. `form`: "hb", "cf" or "pat",
    rather than what the lines look like. `zone`: of naive times, UTC unless given. The path "-" is standard input.
    `stop`: asked to end it. What is damaged is in the report. Raises UsageError (overlap, format unknown),
    UnknownSymbol, ImportFormatError (a file of which nothing can be read), ImportInterrupted, StoreError.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise UsageError("no file to import")
    if files.count(STDIN) > 1:
        raise UsageError("standard input (-) is named twice")
    once = [path for path in files if is_read_once(path)]
    for path in files:
        if path not in once:
            open_file(path).close()
    canonical = venue.canonical(symbol) if symbol is not None else None
    chosen = format_named(form) if form is not None else None
    counters = _counters(files, progress)
    sources = [ImportFile(path, chosen, zone, count, stop) for path, count in zip(files, counters, strict=True)]
    start_ns = min(first.recv_ns for first in [source.first() for source in sources])
    if not allow_overlap and not once and reaches(store, venue, start_ns - MOST_BACK):
        # Gone through beforehand, so that it is refused as a whole or not at all; what is read once only is not.
        rehearsal = [
            ImportFile(path, source.form, zone, None, stop) for path, source in zip(files, sources, strict=True)
        ]
        with Import(store, venue, rehearsal, canonical, start_ns, dry=True, stop=stop) as attempt:
            attempt.write()
    with Import(store, venue, sources, canonical, start_ns, overlap=allow_overlap, stop=stop) as run:
        if not run.write():
            run.interrupted()
            raise ImportInterrupted(_stopped(run.report(), sources, files))
        report = run.report()
        broken = any(source.damage.cut is not None for source in sources) or report.unplaced
        names = ", ".join("standard input" if path == STDIN else path.name for path in files)
        run.end(f"import of {names}" + (" (damaged: what came before is kept)" if broken else ""))
    if report.unplaced and not report.records:
        raise ImportFormatError(f"{'; '.join(report.unplaced)}; nothing is imported")
    return report


def _stopped(report: ImportReport, sources: Sequence[ImportFile], files: Sequence[Path]) -> str:
    done = sum(source.lines.offset for source in sources)
    total = _size(files)
    share = f"{done:,} of {count(total, 'byte')}" if total is not None else count(done, "byte")
    names = ", ".join(name_of(path) for path in files)
    return (
        f"{names}: import interrupted after {share}; {kept(report.records)} kept"
        + (f", besides {report.already:,} that were there" if report.already else "")
        + "; the same command again goes on from there"
    )


def _counters(files: list[Path], progress: Progress | None) -> list[Callable[[int], None] | None]:
    """One progress callback a file that reports the sum over all."""
    if progress is None:
        return [None] * len(files)
    total = _size(files)
    done = [0] * len(files)

    def counter(number: int) -> Callable[[int], None]:
        def count(position: int) -> None:
            done[number] = position
            progress(sum(done), total)

        return count

    return [counter(number) for number in range(len(files))]


def _size(files: Sequence[Path]) -> int | None:
    return None if any(map(is_read_once, files)) else sum(path.stat().st_size for path in files)
