"""What a difference most likely comes from, in plain words, and what to do next.

What a stage's first difference comes from, the stage itself explains (repro/stages.py); here is
what goes before it: settings, environment, and how much the ledgers tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twinrun.compare.first_difference import LedgerComparison
from twinrun.repro.stage import Advice
from twinrun.repro.stages import ENVIRONMENT, STAGES


def advise(
    comparison: LedgerComparison,
    runs: Sequence[Path],
    *,
    settings: Sequence[str] = (),
    environment: Sequence[str] = (),
) -> Advice:
    """Explain what the first difference most likely comes from, and what to do next.

    Args:
        comparison: With a difference.
        runs: Both, as the user named them.
        settings: Names of the member's settings that differ.
        environment: Names of what differs in the environment.

    Raises:
        ValueError: There is no difference.
    """
    difference = comparison.result or comparison.environment
    if difference is None:
        raise ValueError("no difference to explain")
    if settings:
        return Advice(
            f"The two were trained with different settings ({', '.join(settings)}): reason enough.",
            "train both with the same settings",
        )
    if comparison.environment:
        found = comparison.environment
        return ENVIRONMENT.explain(
            replace(found, changed=tuple(environment), only_first=(), only_second=())
            if environment
            else found
        )
    if difference.only is not None:
        return Advice(
            f"Only {'AB'[difference.only]} has this stage at this step: the two count steps "
            "differently, or were recorded by different versions of Twinrun.",
            "train both with the same version, and compare again",
        )
    stage = STAGES.get(difference.stage)
    both = shlex.join(str(run) for run in runs)
    if stage.each_step and comparison.level == "epoch":
        return Advice(
            "Some step of this epoch was different; ledgers of level 'epoch' do not say more.",
            f"train both again with --set run.ledger=step, then twinrun diff {both}",
        )
    advice = stage.explain(difference)
    if stage.each_step and not difference.names:
        return replace(advice, next=f"twinrun diff {both} --replay")
    return replace(advice, next=advice.next.replace("{first}", shlex.quote(str(runs[0]))))
