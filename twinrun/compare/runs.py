"""Two recorded runs, compared: settings, environment, code, ledger and files of each training.

Light on purpose, as first_difference.py is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.compare.evidence import ValueDifference, compare_beside, find_evidence
from twinrun.compare.first_difference import LedgerComparison, compare_ledgers
from twinrun.compare.recorded_files import (
    ComparedTraining,
    FileFault,
    compare_run_files,
    compare_training_files,
    explain_submissions,
)
from twinrun.config.identity import write_out_settings
from twinrun.config.settings import Settings, write_out_content
from twinrun.config.trainings import member_of
from twinrun.errors import InputError, gaps, nearest
from twinrun.files import is_there
from twinrun.repro.facts import write_out_environment
from twinrun.repro.ledger import Ledger
from twinrun.repro.source import describe_engine
from twinrun.repro.stage import Known
from twinrun.run_folder.paths import RunFolder, TrainingFolder
from twinrun.run_folder.records import read_record
from twinrun.run_folder.trainings import run_of, training_of

# How a competitor's own code is named, with the name of the hook behind it.
HOOKS = "hooks.py: "
# In which table of the manifest a member's own settings stand.
_HOMES = {"classes": "competition.", "seed": "run.", "threads": "run."}


@dataclass(frozen=True)
class TrainingComparison:
    """A training of both runs, compared: of a member, or of one of its folds.

    Attributes:
        name: As commands know it; of both when two different ones are compared.
        title: As readers do.
        comparison: Of their ledgers.
        settings: What differs in the settings that decide the member's bits.
        code: Where the engine's source differs, each one's in a few words; else None.
        beside: What differs in what decides no bit: machine, workers, where it resumed. None of it
            is known of a training that is not complete.
        evidence: In words which images or predictions differ; as far as the runs' files tell.
        known: What an explanation of the first difference may go by.
        folders: In the first run and in the second.
    """

    name: str
    title: str
    comparison: LedgerComparison
    settings: tuple[ValueDifference, ...]
    code: tuple[str, str] | None
    beside: tuple[ValueDifference, ...]
    evidence: tuple[str, ...]
    known: Known
    folders: tuple[Path, Path]


@dataclass(frozen=True)
class RunComparison:
    """Two runs, compared.

    Attributes:
        first: The first run or member, as it was named.
        second: The second.
        runs: The folders of the runs that these are, or are of.
        settings: What differs in the settings, and before them, as `HOOKS` begins, in the
            competitor's own code.
        environment: What differs in what decides bits besides the settings.
        members: The trainings of both runs.
        only_first: Trainings that only the first run has.
        only_second: Trainings that only the second has.
        files: Files that are not what was written, or that differ although the ledgers agree.
        submission: Why the recorded submissions differ, in words, a line each; empty where they do
            not, or where one run has none.
    """

    first: Path
    second: Path
    runs: tuple[Path, Path]
    settings: tuple[ValueDifference, ...]
    environment: tuple[ValueDifference, ...]
    members: tuple[TrainingComparison, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    files: tuple[FileFault, ...]
    submission: tuple[str, ...]

    @property
    def code(self) -> tuple[str, str] | None:
        """Where the engine's source differs, that of the first such training; else None."""
        return next((member.code for member in self.members if member.code), None)

    @property
    def of_hooks(self) -> tuple[ValueDifference, ...]:
        """What differs in the competitor's own code: the digest of each hook in it."""
        return tuple(gap for gap in self.settings if gap.name.startswith(HOOKS))

    @property
    def of_data(self) -> tuple[ValueDifference, ...]:
        """Those settings that say which images there are, with which labels."""
        return tuple(gap for gap in self.settings if gap.name.startswith("data."))

    @property
    def same(self) -> bool:
        """Whether everything that was to be compared is in both runs, and equal."""
        return self.same_results and all(member.comparison.same for member in self.members)

    @property
    def same_results(self) -> bool:
        """As `same`, whatever environments the two were trained in."""
        return (
            all(
                member.comparison.result is None and member.comparison.end is None
                for member in self.members
            )
            and not (self.only_first or self.only_second)
            and not (self.files or self.submission)
        )


def compare_runs(first: Path, second: Path, members: Sequence[str] | None = None) -> RunComparison:
    """Compare the ledgers and the files of all trainings that two runs have.

    Args:
        first: A folder runs/<run>, or the folder of one of its members or of a fold.
        second: The other one. Two members' folders may be of members of different names.
        members: Only these: members, with all their folds, or folds such as first/fold-1. Default:
            all.

    Raises:
        InputError: A folder or ledger is missing or damaged, a record is damaged, or there is no
            such member.
    """
    (run_a, ours), (run_b, theirs) = (_find_trainings(path) for path in (first, second))
    pairs = _pair_trainings(ours, theirs, members)
    settings: list[ValueDifference] = []
    environment: list[ValueDifference] = []
    manifests = [_read_manifest(run) for run in (run_a, run_b)]
    reports, compared = [], list[ComparedTraining]()
    for label, mine, other in pairs:
        ledgers = (
            Ledger.read(TrainingFolder(mine).ledger),
            Ledger.read(TrainingFolder(other).ledger),
        )
        one, two = (ledger.about for ledger in ledgers)
        trained = [training_of(about["settings"]) for about in (one, two)]
        own = [
            ValueDifference(_home(gap[0], trained[0].member), *gap[1:])
            for gap in gaps(write_out_content(one["settings"]), write_out_content(two["settings"]))
        ]
        settings += [gap for gap in own if gap not in settings]
        here, there = (write_out_environment(about["environment"]) for about in (one, two))
        found = [ValueDifference(*gap) for gap in gaps(here, there)]
        environment += [gap for gap in found if gap not in environment]
        code = None
        if one["code"] != two["code"]:
            code = (_describe_code(manifests[0], one), _describe_code(manifests[1], two))
        comparison = compare_ledgers(*ledgers)
        records = [read_record(path) for path in (mine, other)]
        title = " and ".join(dict.fromkeys(each.title for each in trained))
        compared.append(ComparedTraining((mine, other), ledgers, agree=comparison.same))
        beside = compare_beside(*records)
        evidence, known = find_evidence(
            comparison, ledgers, (run_a, run_b), (mine, other), records, beside
        )
        reports.append(
            TrainingComparison(
                label,
                title,
                comparison,
                tuple(own),
                code,
                beside,
                tuple(evidence),
                known,
                (mine, other),
            )
        )
    contents = [manifest.get("content", {}) for manifest in manifests]
    those = {member_of(run_of(path)[1]) for pair in pairs for path in pair[1:]}
    settings += _other_settings(contents, those, {gap.name for gap in settings})
    # Who edits a hook edits what is computed: it is named before all else.
    settings.sort(key=lambda gap: not gap.name.startswith(HOOKS))
    whole = members is None and run_a == first and run_b == second
    files = compare_training_files(compared)
    if whole:
        files += compare_run_files((run_a, run_b), manifests)
    return RunComparison(
        first,
        second,
        (run_a, run_b),
        tuple(settings),
        tuple(environment),
        tuple(reports),
        tuple(name for name in ours if whole and name not in theirs),
        tuple(name for name in theirs if whole and name not in ours),
        tuple(files),
        tuple(explain_submissions(*contents)) if whole else (),
    )


def _find_trainings(path: Path) -> tuple[Path, dict[str, Path]]:
    """The run's folder, and by name the folders of the trainings that `path` stands for."""
    if _has_ledger(TrainingFolder(path)):
        run, name = run_of(path)
        return run, {name: path}
    folds = TrainingFolder(path).folds()
    run = run_of(path)[0] if folds else path
    begun = [each.path for each in folds or RunFolder(path).trainings() if _has_ledger(each)]
    if begun:
        return run, {run_of(folder)[1]: folder for folder in begun}
    what = f"{path} has no ledger of a member" if path.is_dir() else f"no such folder: {path}"
    raise InputError(what, fix="Name the folders of two runs, for example runs/full.")


def _has_ledger(training: TrainingFolder) -> bool:
    """Whether a training has a ledger, or has lost one that its record names."""
    if is_there(training.ledger):
        return True
    record = read_record(training.path)
    return record is not None and training.ledger.name in record["guards"]


def _pair_trainings(
    ours: Mapping[str, Path], theirs: Mapping[str, Path], members: Sequence[str] | None
) -> list[tuple[str, Path, Path]]:
    """(name, folder in the first run, folder in the second)."""
    for run in (ours, theirs):
        for name in members or ():
            if not any(_is_of(each, name) for each in run):
                place = RunFolder(run_of(next(iter(run.values())))[0]).members
                raise InputError(
                    f"{place}: no member {name!r} with a ledger. {nearest(name, run)}".rstrip(),
                    fix=f"Members there: {', '.join(run)}.",
                )
    names = [
        name
        for name in ours
        if name in theirs and (not members or any(_is_of(name, member) for member in members))
    ]
    if names:
        return [(name, ours[name], theirs[name]) for name in names]
    if len(ours) == len(theirs) == 1:
        (one, mine), (two, other) = *ours.items(), *theirs.items()
        return [(f"{one} and {two}", mine, other)]
    raise InputError(
        f"no member is in both runs: {', '.join(ours)} in the first, {', '.join(theirs)} in the "
        "second",
        fix="Name two folders of members, for example runs/full/members/first.",
    )


def _is_of(training: str, name: str) -> bool:
    """Whether a training is the one of that name, or a fold of the member of that name."""
    return name in (training, member_of(training))


def _home(name: str, member: str) -> str:
    """Where a value of a member's settings stands in the run's."""
    head, _, rest = name.partition(".")
    if head == "hooks":
        return f"{HOOKS}{rest}"
    return f"members.{member}.{rest}" if head == "member" else _HOMES.get(head, "") + name


def _read_manifest(run: Path) -> dict[str, Any]:
    """A run's manifest; empty when the run was not finished."""
    from twinrun.run_folder.manifest import read_manifest_if_there

    return read_manifest_if_there(run) or {}


def _describe_code(manifest: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The engine that a ledger was written by; its version only where the manifest is of that."""
    source = f"source {about['code'][:8]}"
    if not manifest or manifest["content"]["code"] != about["code"]:
        return source
    return f"{describe_engine(manifest['beside']['engine'])}, {source}"


def _other_settings(
    contents: Sequence[Mapping[str, Any]], compared: set[str], known: set[str]
) -> Iterator[ValueDifference]:
    """What differs in the manifests' settings, is not known, and is of no member left out."""
    from twinrun.run_folder.manifest import recorded_hooks

    if all(contents):
        before, now = map(recorded_hooks, contents)
        for name, first, second in gaps(before, now):
            if HOOKS + name not in known:
                yield ValueDifference(HOOKS + name, first, second)
        before, now = map(_settings_in_force, contents)
        for name, first, second in gaps(before, now):
            table, _, rest = name.partition(".")
            if name not in known and (table != "members" or rest.split(".")[0] in compared):
                yield ValueDifference(name, first, second)


def _settings_in_force(content: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's settings, with the range of values that images were seen in."""
    settings = write_out_settings(Settings, content["settings"])
    if content.get("range"):
        settings["data"] = {**settings.get("data", {}), "range": content["range"]}
    return settings
