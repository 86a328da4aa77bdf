"""The command that checks settings and tries a competitor's own code: check."""

from __future__ import annotations

import typer

from twinrun.cli.options import SettingsOptions, as_command
from twinrun.console import say
from twinrun.process import without_collector

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ntwinrun check\n\ntwinrun check --profile fixture --set hooks.margin=0.3"
)
@as_command
def check(*, options: SettingsOptions) -> None:
    """Check the settings, and try the functions of hooks.py on two images; nothing is trained."""
    settings = options.read()
    with without_collector():
        from twinrun.networks.table import refuse_unusable
        from twinrun.try_hooks import try_hooks

    members = settings.members
    refuse_unusable(settings.network_uses())
    trainings = sum(len(settings.trainings(name)) for name in members)
    say(
        ("settings", "bold"),
        f"  {settings.config}: {len(settings.classes)} classes, {len(members)} members, "
        f"{trainings} trainings",
    )
    tried = try_hooks(settings)
    for trial in tried:
        say(("tried", "bold"), f"     {trial.name}: {trial.on}")
    if not tried:
        say(("hooks", "bold"), "     none: hooks.py has no function that the engine calls")
    say(("good", "bold green"), ": `twinrun run` begins with this")
