"""`mdtool docs`: writes man pages and completions from the command tree, for whoever changes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.tree import tree


def docs(
    ctx: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The project's top folder: man/ and completions/ are below it.")
    ] = Path(),
) -> None:
    """Write man pages and shell completions from the command tree."""
    out = current(ctx).out
    for path, text in generate().items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        out.talk(f"wrote {target}")


def generate() -> dict[str, str]:
    """Path below the project's top folder -> text, of every generated file."""
    import mdtool
    from mdtool.commands.main import VERBS, build
    from mdtool.venues import catalog
    from mdtool.view import completions, manpages
    from mdtool.view.tree import VenueRow

    root = tree(build(), ("mdtool",), VERBS)
    known = [catalog.get(name) for name in catalog.names()]
    venues = [VenueRow(venue.name, venue.title, venue.default_symbols, venue.default_streams) for venue in known]
    pages = manpages.pages(root, venues, mdtool.__version__)
    scripts = completions.scripts(root, _words())
    return {f"man/{name}": text for name, text in pages.items()} | {
        f"completions/{name}": text for name, text in scripts.items()
    }


def _words() -> dict[str, tuple[str, ...]]:
    """What may stand where a metavar stands."""
    from mdtool.bench.suite import GROUPS
    from mdtool.commands.tasks.upkeep import SETTINGS
    from mdtool.exchange.simulator import FORMS
    from mdtool.torture.scenarios import SCENARIOS
    from mdtool.venues import catalog

    return {
        "VENUE": catalog.names(),
        "GROUP": tuple(GROUPS),
        "KEY=VALUE": tuple(f"{key}=" for key in SETTINGS),
        "PROTOCOL": tuple(sorted(FORMS)),
        "SCENARIO": tuple(SCENARIOS),
    }
