"""`mdtool metrics`: how recorders are doing, over HTTP; what to draw of it, and when to be woken."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current

EXAMPLES = (
    ("mdtool metrics serve", "health, readiness, metrics and a page for people, at http://127.0.0.1:9090/"),
    ("mdtool metrics serve --http 0.0.0.0:9090", "the same for other machines; what is shown is then anybody's"),
    ("mdtool metrics dashboard >mdtool.json", "a dashboard, to be imported into Grafana"),
    ("mdtool metrics alerts >/etc/prometheus/mdtool.yml", "alerting rules, for rule_files of Prometheus"),
)

metrics = typer.Typer(help="Serve health and metrics over HTTP; print a dashboard and alerts.", rich_markup_mode=None)


@metrics.command("serve")
def serve(
    ctx: typer.Context,
    http: Annotated[
        str, typer.Option("--http", metavar="ADDRESS", help="HOST:PORT or PORT; without a host 127.0.0.1.")
    ] = "127.0.0.1:9090",
) -> None:
    """Serve how recorders are doing, until stopped.

    /health is 200 where no recorder has died or hangs, /ready where every planned stream is there and every book whole,
    else 503 with what is not; /metrics is for Prometheus, /status what status --json prints, and / a page for people.
    Recorders are not asked: it reads what they record and the counters they keep in shared memory.

    mdtool record --http serves the same from a process of its own, for as long as it records.
    """
    from mdtool.commands.tasks.metering import serve_until_stopped
    from mdtool.service.listening import listen, parse_address, url

    run = current(ctx)
    with run.store() as store, listen(*parse_address(http)) as listening:
        run.out.talk(f"serving {url(listening)}")
        serve_until_stopped(store, listening)


@metrics.command("dashboard")
def dashboard(ctx: typer.Context) -> None:
    """Print a dashboard for Grafana, as JSON."""
    from mdtool.commands.tasks.metering import packaged

    current(ctx).out.data(packaged("dashboard.json"))


@metrics.command("alerts")
def alerts(ctx: typer.Context) -> None:
    """Print alerting rules for Prometheus, as YAML. mdtool-runbook(7) says of each what to do."""
    from mdtool.commands.tasks.metering import packaged

    current(ctx).out.data(packaged("alerts.yml"))
