"""The tables that commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from competition.settings import Settings
from competition.terminal import clock

if TYPE_CHECKING:
    from competition.proof.twins import Verdict


def members(settings: Settings, records: dict[str, dict[str, Any]]) -> Table:
    """One row per member: network, valid loss and accuracy, public score, weight, time."""
    table = Table(title="Members", title_justify="left")
    table.add_column("member")
    table.add_column("network")
    for column in ("valid loss", "accuracy", "public score", "weight", "time"):
        table.add_column(column, justify="right")
    for name, record in records.items():
        member, scores = settings.members[name], record["scores"]
        table.add_row(
            name,
            member.network,
            f"{scores['valid_loss']:.4f}",
            f"{scores['accuracy']:.3f}",
            "" if member.public_score is None else f"{member.public_score:.5f}",
            f"{settings.weight(name):g}",
            clock(record["seconds"]),
        )
    return table


def twins(verdict: Verdict) -> Table:
    """One row per member and file: the start of both digests, and what differs."""
    table = Table(title="Twins", title_justify="left")
    table.add_column("member", no_wrap=True)
    table.add_column("file", no_wrap=True)
    for column in ("first", "second", "verdict"):
        table.add_column(column)
    for row in verdict.comparisons:
        answer = "[green]same bits[/]" if row.same else f"[red]differ[/]: {row.difference}"
        table.add_row(row.member, row.file, row.first[:8], row.second[:8], answer)
    table.add_section()
    for row in verdict.control:
        answer = "[red]same bits[/]" if row.same else "[green]differ[/]"
        table.add_row(f"{row.member}, other seed", row.file, row.first[:8], row.second[:8], answer)
    return table
