"""The command that looks at the data: audit."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from twinrun.cli.options import (
    RunOptions,
    as_command,
)
from twinrun.console import clock, console, say

app = typer.Typer()

_EXAMPLES = (
    "Examples:\n\ntwinrun audit --profile fixture\n\n"
    "twinrun audit --data ~/Downloads/photos --lines 50 --set data.conflicts=error"
)


class _WithChecks(TyperCommand):
    """Its help names the checks; they are asked only then, since their import takes a while."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from twinrun.audit.checks import CHECKS

        self.epilog = (
            f"Checks: {', '.join(CHECKS.names)} (docs/audit.md of Twinrun).\n\n{_EXAMPLES}"
        )
        super().format_help(ctx, formatter)


@app.command(cls=_WithChecks, epilog=_EXAMPLES)
@as_command
def audit(
    *,
    options: RunOptions,
    lines: Annotated[
        int,
        typer.Option("--lines", min=1, help="Lines for each finding; audit.json has all."),
    ] = 10,
) -> None:
    """Look for what is wrong with the data: exit code 0 fit to train on, 1 not."""
    from twinrun.audit.audit import audit_folder
    from twinrun.cli import tables
    from twinrun.locks import lock_record
    from twinrun.run_folder.audit import write_audit
    from twinrun.run_folder.manifest import (
        read_manifest_if_there,
        renew_guard,
        write_manifest,
    )
    from twinrun.run_folder.paths import RunFolder

    started = time.perf_counter()
    settings = options.read()
    folder = options.folder
    audited = audit_folder(settings, settings.cache_folder(options.out))
    content = audited.content()
    with lock_record(folder):
        manifest = read_manifest_if_there(folder)  # before anything is written: it may be damaged
        write_audit(folder, content)
        if manifest is not None:
            write_manifest(folder, renew_guard(manifest, RunFolder(folder).audit))
    console.quiet = False
    if audited.found:
        tables.audit(audited.found, lines).print()
    images = content["images"]
    took = clock(time.perf_counter() - started)
    say(
        f"looked at {images['train']:,} training and {images['test']:,} test images in {took}: "
        f"{RunFolder(folder).audit}"
    )
    audited.refuse()
    say(("fit to train on", "bold green"), "" if audited.found else ": nothing found")
