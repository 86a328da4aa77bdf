"""What a difference most likely comes from, in plain words, and what to do next.

What a stage's first difference comes from, the stage itself explains (repro/stages.py); here is
what goes before it: code, settings, environment, and how much the ledgers tell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twinrun.compare.evidence import ValueDifference
from twinrun.compare.first_difference import LedgerComparison
from twinrun.compare.replay import Replay
from twinrun.compare.runs import HOOKS, RunComparison, TrainingComparison
from twinrun.errors import shorten
from twinrun.repro.stage import Advice, Known
from twinrun.repro.stages import ENVIRONMENT, STAGES


def advise(
    comparison: LedgerComparison,
    runs: Sequence[Path],
    *,
    code: tuple[str, str] | None = None,
    settings: Sequence[str] = (),
    known: Known = Known(),  # noqa: B008  (frozen)
    replayed: bool = False,
) -> Advice:
    """Explain what the first difference most likely comes from, and what to do next.

    Args:
        comparison: With a difference.
        runs: Both, as the user named them.
        code: Where the engine's source differs, each one's in a few words.
        settings: Names of the run's settings that differ.
        known: What is known beside the ledgers.
        replayed: Whether the difference is one of steps that were made again: that is no advice
            any more.

    Raises:
        ValueError: There is no difference.
    """
    difference = comparison.result or comparison.environment
    if difference is None:
        raise ValueError("no difference to explain")
    stage = STAGES.get(difference.stage)
    # Own code can be the cause of anything.
    settings = [
        name for name in settings if name.startswith(HOOKS) or re.match(stage.settings, name)
    ]
    environment = comparison.environment if stage.environment else None
    if code or settings:
        same = _advise_same(code, settings, environment.names if environment else ())
        if known.causes and not code:
            # What the files themselves show comes before what may be the reason.
            shown = known.causes[0]
            return replace(shown, cause=f"{shown.cause} {same.cause}", next=_name(shown.next, runs))
        if not settings and (difference.told or known.causes):
            # It is true of whatever code.
            return replace(same, cause=f"{same.cause} {stage.explain(difference, known).cause}")
        return same
    if environment:
        return ENVIRONMENT.explain(environment, known)
    if difference.only is not None:
        return Advice(
            f"Only {'AB'[difference.only]} has this stage at this step: the two count steps "
            "differently, or were recorded by different versions of Twinrun.",
            "train both with the same version, and compare again",
        )
    both = shlex.join(str(run) for run in runs)
    if stage.each_step and comparison.level == "epoch":
        return Advice(
            "Some step of this epoch was different; ledgers of level 'epoch' do not say more.",
            f"train both again with --set run.ledger=step, then twinrun diff {both}",
        )
    advice = stage.explain(difference, known)
    if stage.each_step and stage.replayed and not (difference.names or replayed):
        return replace(advice, next=f"twinrun diff {both} --replay")
    return replace(advice, next=_name(advice.next, runs))


def _name(following: str, runs: Sequence[Path]) -> str:
    """A next step with the first run in its place."""
    return following.replace("{first}", shlex.quote(str(runs[0])))


def advise_training(
    member: TrainingComparison, report: RunComparison, again: Replay | None = None
) -> Advice:
    """As `advise`, of a training of two runs, or of the step of it that was made again."""
    known = member.known
    if again is not None:
        share = again.gap.share if again.gap else None
        known = replace(known, detailed=True, gap=share, causes=())
    return advise(
        again.comparison if again else member.comparison,
        (report.first, report.second),
        code=None if again else member.code,  # both are made again by one engine
        settings=[gap.name for gap in _of_cause(member, report)],
        known=known,
        replayed=again is not None,
    )


def _of_cause(member: TrainingComparison, report: RunComparison) -> list[ValueDifference]:
    """What differs that may be the cause, each once, own code first."""
    return list(dict.fromkeys([*report.of_hooks, *member.settings, *report.of_data]))


def _advise_same(
    code: tuple[str, str] | None, settings: Sequence[str], environment: Sequence[str]
) -> Advice:
    """What is to be the same before the rest can be told apart."""
    if "run.threads" in settings:
        environment = [name for name in environment if name != "threads"]  # said once is enough
    reasons = {
        "code": f"different code ({code[0]} in A, {code[1]} in B)" if code else "",
        "settings": f"different settings ({', '.join(shorten(settings))})" if settings else "",
        "environment": f"a different environment ({', '.join(shorten(environment))})"
        if environment
        else "",
    }
    found = {name: words for name, words in reasons.items() if words}
    judged = ": any of these may be the reason" if len(found) > 1 else ": reason enough"
    if list(found) == ["code"]:
        judged = ", which may be the whole reason"
    return Advice(
        f"The two were trained with {', and with '.join(found.values())}{judged}.",
        f"train both with the same {' and the same '.join(found)}, and compare again",
    )
