"""`gateway check-config`: says what is wrong or unwise in the settings, and what they come to.

Knows how that is shown; what is wrong is found by `examination`, what is unwise by `unwise`.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.examination import Examination, examine_here
from gateway.settings import Settings


def _summary(found: Examination, settings: Settings, console: Console) -> None:
    server = settings.server
    scheme = "wss" if server.tls_certificate_file else "ws"
    host = escape(f"[{server.host}]" if ":" in server.host else server.host)
    usable = sum(each.revoked is None for each in found.keys)
    who = [f"{usable} key{'s' * (usable != 1)}"]
    who += ["tokens"] if settings.jwt.enabled else []
    who = ["everybody, without a key"] if server.open_access else who
    console.print(f"[bold]Subscribers[/]  {scheme}://{host}:{server.port}, let in: {', '.join(who)}")
    console.print(
        f"[bold]Journal[/]      {escape(str(settings.journal.folder))},"
        f" {settings.journal.retention_days:g} days, at most {settings.journal.retention_bytes / 1e9:.1f} GB"
    )
    feeds = Table(title="Feeds", title_justify="left")
    for column in ("feed", "definitions", "user", "endpoints in order of preference"):
        feeds.add_column(column, overflow="fold")
    for feed in settings.feeds:
        definitions = found.definitions.get(feed.name)
        size = f" ({len(definitions.messages)} messages)" if definitions else ""
        endpoints = ", ".join(f"{each.name} {each.address}{' TLS' * each.tls}" for each in feed.endpoints)
        standby = ", hot standby" if feed.hot_standby else ""
        feeds.add_row(
            feed.name, escape(feed.definitions) + size, escape(feed.user), escape(endpoints) + standby
        )
    console.print(feeds)
    if found.stripes is not None:
        stripes = Table(title="Stripes", title_justify="left")
        for column in ("stripe", "kind", "holds"):
            stripes.add_column(column, overflow="fold")
        for name in found.stripes.names:
            stripes.add_row(name, found.stripes.kinds[name], escape(found.stripes.what(name)))
        console.print(stripes)
        gaps = "; ".join(map(str, found.stripes.gaps))
        console.print(f"In no range, so in {found.stripes.catch_all} unless a set names them: {escape(gaps)}")


def check_config(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="GATEWAY_CONFIG", help="The settings to check.")
    ] = Path("config/gateway.toml"),
    strict: Annotated[bool, typer.Option(help="Take warnings for errors.")] = False,
) -> None:
    """Check settings, definitions, stripes and keys, and show what they come to. Exit code 0 or 2."""
    found = examine_here(config)
    console, errors = Console(), Console(stderr=True, soft_wrap=True, highlight=False)
    if found.settings is not None:
        _summary(found, found.settings, console)
    for warning in found.warnings:
        errors.print(f"[yellow]warning[/] {escape(warning)}")
    for problem in found.problems:
        errors.print(f"[red]error[/] {escape(problem)}")
    if found.problems or (strict and found.warnings):
        raise typer.Exit(2)
    console.print(
        f"{escape(str(config))} is right." if not found.warnings else f"{escape(str(config))} can be used."
    )
