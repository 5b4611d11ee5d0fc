"""`mdtool deploy`: files that have systemd or a container run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdtool.commands.context import current

EXAMPLES = (
    ("mdtool deploy systemd >/etc/systemd/system/mdtool.service", "a hardened unit that runs mdtool record"),
    ("mdtool deploy systemd --user md --store /data/md --config /etc/md.toml", "with a user and paths of your own"),
    ("mdtool deploy dockerfile | docker build -t mdtool -f - .", "an image, from the folder of mdtool's source"),
    ("mdtool deploy compose >compose.yml && docker compose up -d", "in a container, with its healthcheck"),
)

deploy = typer.Typer(help="Print a systemd unit, a compose file or a Dockerfile.", rich_markup_mode=None)

Store = Annotated[
    Path | None, typer.Option("--store", metavar="DIR", help="Where the store is to be. Not given: as in the printed.")
]
Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="The file of settings.")]
User = Annotated[str, typer.Option("--user", metavar="USER", help="Whom it is to run as.")]
Http = Annotated[
    str, typer.Option("--http", metavar="ADDRESS", help="Where health and metrics are served, as HOST:PORT.")
]
CONFIG = Path("/etc/mdtool/config.toml")
HTTP = "127.0.0.1:9090"


@deploy.command("systemd")
def systemd(
    ctx: typer.Context, store: Store = None, config: Config = CONFIG, user: User = "mdtool", http: Http = HTTP
) -> None:
    """Print a unit that runs mdtool record by the file of settings.

    systemctl reload has the file read anew; systemctl stop ends each feed with an END. Where the process that keeps the
    recorders dies they record on, and the one that systemd starts in its place takes them over.
    """
    from mdtool.commands.tasks.deploying import Place

    current(ctx).out.data(Place(config, store, user, http).systemd())


@deploy.command("compose")
def compose(
    ctx: typer.Context,
    store: Store = None,
    config: Config = CONFIG,
    http: Http = HTTP,
    shm: Annotated[str, typer.Option("--shm", metavar="SIZE", help="Shared memory of the container.")] = "1gb",
) -> None:
    """Print a compose file that runs the image of mdtool deploy dockerfile.

    The store is a volume, or the folder that --store names; of --config the folder is seen in the container.
    """
    from mdtool.commands.tasks.deploying import Place

    current(ctx).out.data(Place(config, store, "mdtool", http, shm).compose())


@deploy.command("dockerfile")
def dockerfile(ctx: typer.Context, http: Http = HTTP) -> None:
    """Print a Dockerfile: mdtool from its source, as a user that is not root, healthy where /ready says so."""
    from mdtool.commands.tasks.deploying import Place

    current(ctx).out.data(Place(CONFIG, None, "mdtool", http).dockerfile())
