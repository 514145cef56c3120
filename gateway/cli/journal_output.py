"""How `gateway journal` shows sessions and results: tables and lines for people, values for JSON.

Knows what a journal tells of itself; knows no file and no stream.
"""

from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from gateway.journal import SessionInfo, Verified


def session_values(info: SessionInfo) -> dict[str, Any]:
    """What `ls` tells of a session, as JSON."""
    first, last = info.first_received_ns, info.last_received_ns
    return {
        "feed": info.feed,
        "session": info.session,
        "state": state_of(info),
        "firstSeq": info.first_seq,
        "nextSeq": info.next_seq,
        "messages": info.messages,
        "gaps": [[gap.from_seq, gap.to_seq] for gap in info.gaps],
        "firstReceived": None if first is None else time_text(first),
        "lastReceived": None if last is None else time_text(last),
        "bytes": info.bytes,
        "file": str(info.path),
        **({"damage": info.damage} if info.damage else {}),
    }


def sessions_table(infos: list[SessionInfo]) -> Table:
    """What `ls` tells, for people."""
    table = Table("feed", "session", "state", box=None, header_style="bold", pad_edge=False)
    for title in ("from", "next", "messages", "missing"):
        table.add_column(title, justify="right")
    table.add_column("last received (UTC)", no_wrap=True)
    table.add_column("size", justify="right")
    for info in infos:
        missing = sum(gap.to_seq - gap.from_seq + 1 for gap in info.gaps)
        last = info.last_received_ns
        table.add_row(
            info.feed,
            safe(info.session),
            state_of(info),
            f"{info.first_seq:,}",
            f"{info.next_seq:,}",
            f"{info.messages:,}",
            f"{missing:,}" if missing else "",
            "" if last is None else time_text(last)[:19].replace("T", " "),
            size_text(info.bytes),
            style="red" if info.damage else None,
        )
    return table


def state_of(info: SessionInfo) -> str:
    if info.damage:
        return "damaged"
    return "ended" if info.ended else "running"


def verified_values(feed: str, result: Verified) -> dict[str, Any]:
    """What `verify` tells of a session, as JSON."""
    return {
        "feed": feed,
        "session": result.session,
        "file": str(result.path),
        "whole": result.whole,
        "firstSeq": result.first_seq,
        "nextSeq": result.next_seq,
        "messages": result.messages,
        "blocks": result.blocks,
        "gaps": [[gap.from_seq, gap.to_seq] for gap in result.gaps],
        "damages": [{"row": damage.seq, "what": damage.what} for damage in result.damages],
    }


def verified_line(feed: str, result: Verified) -> str:
    """What `verify` tells, for people."""
    numbers = f"{result.first_seq:,} to {result.next_seq - 1:,}" if result.messages else "empty"
    told = (
        f"{feed} {safe(result.session)}: {numbers}, {result.messages:,} messages in {result.blocks:,} blocks"
    )
    missing = sum(gap.to_seq - gap.from_seq + 1 for gap in result.gaps)
    if missing:
        told += f", {missing:,} declared missing"
    if result.whole:
        return f"[green]whole[/]    {told}"
    rows = [f"\n         {result.path}, row {damage.seq}: {damage.what}" for damage in result.damages]
    return f"[red]damaged[/]  {told}" + "".join(rows).replace("row None: ", "")


def time_text(ns: int) -> str:
    """ISO 8601 with all nine digits of the second."""
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{ns % 10**9:09d}Z")


def safe(text: str) -> str:
    """A stranger's text, for a terminal and for rich's markup."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text).replace("[", "\\[")


def size_text(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
