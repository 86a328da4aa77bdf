"""Only run_folder knows where a run's files lie and reads them: a rule over the engine's source.

A name of such a file may stand in a message, a docstring, or a table of what is compared. Elsewhere
than in run_folder it may not be joined to a path (`/`, joinpath, with_name, glob, rglob, or within
an f-string that has a slash), and no module reads or writes JSON or parquet by itself but those
named here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

ENGINE = ROOT / "twinrun"
NAMES = re.compile(
    r"(^|/)(members|fold-.*|member\.json|manifest\.json|index\.parquet|blend\.json|audit\.json|"
    r"spread\.json|local\.json|history\.csv|valid\.csv|test\.csv|weights\.safetensors|ledger\.parquet|twins\.json|"
    r"verify\.json|predictions\.json|submission\.csv|report\.html|checkpoint|tracking)($|/)"
)
JOINS = {"joinpath", "with_name", "glob", "rglob", "Path"}
READS = {"loads", "load", "read_parquet", "ParquetFile", "to_parquet", "write_json", "dumps"}
# Who reads or writes these formats, and what: nothing of it is a file of a run that has a shape.
ALLOWED = {
    "files.py": "the writer of JSON itself, and digests of JSON values",
    "repro/ledger.py": "ledger.parquet: its shape and its checksums",
    "repro/source.py": "origin.json of an installed wheel",
    "compare/images.py": "index.parquet, for its lines about images, without importing pandas",
    "compare/format.py": "values that are printed",
    "train/checkpoints.py": "facts within a checkpoint, under its checksum",
    "train/trial_resume.py": "facts as a checkpoint would hold them, written nowhere",
    "cluster/nodes.py": "environments as keys of a table",
    "cluster/fetch.py": "marks of what a node has fetched",
    "cluster/share.py": "an index on its way to a node, named after its digest",
    "data/cache_files.py": "the cache",
    "blend/choice.py": "lines of competition.toml",
    "export/exporting.py": "export.json",
    "export/standalone.py": "export.json, without the engine",
    "package/contents.py": "package.json",
    "package/hosts.py": "SETTINGS.json of a package",
    "package/page_settings.py": "values on a page",
    "package/places.py": "how JSON spells a path that is looked for",
    "scaffold/render.py": "the answers of a project, .cruft.json",
    "scaffold/questions.py": "the questions of the template",
    "verify/confine.py": "what is allowed, as an argument of mounts.py",
    "verify/mounts.py": "likewise",
    "verify/recipe.py": "what is asked of the code that makes a run again",
    "wheel/engine_wheel.py": "origin.json of a wheel",
}
# Who reads a CSV file as it lies there, and which: valid.csv and test.csv of a member are read by
# `run_folder.tables.read_predictions`, which compares them with their digests.
READS_CSV = {
    "api/run.py": "what it has just predicted",
    "config/any_csv.py": "tables of a data folder",
    "blend/submission.py": "submissions and samples",
    "probabilities.py": "prediction files from anywhere; submit.py asks first whose they are",
    "submit.py": "those that are named with a weight",
    "compare/member_files.py": "what differs, after digests were compared",
    "compare/prediction_gaps.py": "how far apart, after digests were compared",
    "compare/recorded_files.py": "whose file is wrong, after digests were compared",
    "compare/predictions.py": "likewise, and with the digests",
    "verify/remake.py": "what it has just predicted, to record its digest",
}


def reads_csv(source: str) -> bool:
    called = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    names = {getattr(each, "attr", getattr(each, "id", "")) for each in called}
    return bool(names & {"read_csv", "read_probabilities"})


def modules() -> list[Path]:
    return sorted(p for p in ENGINE.rglob("*.py") if p.parent != ENGINE / "run_folder")


def offences(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each join and each reading of its own."""
    for node in (each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.expr)):
        joined: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            joined = [node.left, node.right]
        elif isinstance(node, ast.Call):
            called = node.func
            name = getattr(called, "attr", getattr(called, "id", ""))
            joined = list(node.args) if name in JOINS else []
            base = getattr(called, "value", None)
            if name in READS and (name not in {"load", "loads", "dumps"} or _is(base, "json")):
                yield node.lineno, f"calls {name}"
        elif isinstance(node, ast.JoinedStr):
            text = _text(node)
            if "/" in text and " " not in text:
                joined = [ast.Constant(text)]
        for each in joined:
            if isinstance(each, ast.JoinedStr):
                each = ast.Constant(_text(each))  # noqa: PLW2901
            if isinstance(each, ast.Constant) and NAMES.search(str(each.value)):
                yield node.lineno, f"joins {each.value!r}"


def _text(node: ast.JoinedStr) -> str:
    """An f-string with {} for each value."""
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
    )


def _is(node: ast.expr | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ENGINE)))
def test_nobody_else_joins_or_reads_a_file_of_a_run(path: Path) -> None:
    name = path.relative_to(ENGINE).as_posix()
    found = list(offences(path.read_text(encoding="utf-8")))
    if name in ALLOWED:
        found = [each for each in found if each[1].startswith("joins")]
    # Below this room: who writes there has locked the folder, and removes what is unfinished.
    found = [each for each in found if (name, each[1]) != ("locks.py", "joins 'checkpoint'")]
    assert not found, f"{name}: {found}; ask twinrun.run_folder instead"


def test_predictions_are_read_where_their_digests_are() -> None:
    found = {
        path.relative_to(ENGINE).as_posix()
        for path in modules()
        if reads_csv(path.read_text(encoding="utf-8"))
    }
    assert found - {"files.py"} == set(READS_CSV), "ask run_folder.tables instead"


def test_each_exception_is_one() -> None:
    for name in ALLOWED:
        assert list(offences((ENGINE / name).read_text(encoding="utf-8"))), name


@pytest.mark.parametrize(
    "line",
    [
        'run / "members" / name',
        'path.glob("fold-*/history.csv")',
        'run / f"members/{name}"',
        'f"{place}/member.json"',
        'json.loads((run / "x").read_text())',
        "pd.read_parquet(path)",
        'folder.with_name("manifest.json")',
    ],
)
def test_the_rule_can_fail(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line", ['"members/ is where they are"', 'say(f"members of {run}")', 'table["members"]']
)
def test_messages_and_tables_are_free(line: str) -> None:
    assert not list(offences(line))
