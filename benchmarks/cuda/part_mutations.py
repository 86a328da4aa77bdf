"""The GPU's row of the mutations: twins are the same, and the controls show a difference."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cuda.part_tests import run_tests
from benchmarks.cuda.work import NEEDS_CUDA, Answer, Plan

_FILE = "tests/mutations/test_steps.py"
_SAME = "test_25_identical_runs_on_a_gpu_are_the_same"
_CONTROLS = {
    "test_25_an_atomic_operation": "an atomic operation in a layer",
    "test_25_cudnn_benchmark_on": "cuDNN's benchmark and its other algorithms",
}


def measure(plan: Plan, answer: Answer, until: float) -> None:  # noqa: ARG001
    """Three tests; in a rehearsal one more, of a mutation that a CPU has too."""
    chosen = "test_25 or test_20" if plan.rehearsed else "test_25"
    found = {each.name: each for each in run_tests([_FILE, "-k", chosen], Path(plan.folder))}
    if plan.rehearsed:
        other = found["test_20_one_ulp_of_noise_on_one_gradient"]
        answer.row(
            "on this CPU: a gradient moved to the next float",
            "found and named" if other.state == "passed" else other.why,
            asked="is found",
            kept=other.state == "passed",
        )
    same = found[_SAME]
    if same.state == "skipped":
        answer.row("two runs", "not run", asked="same bits", kept=NEEDS_CUDA)
    else:
        words = "same bits" if same.state == "passed" else same.why
        answer.row("two runs", words, asked="same bits", kept=same.state == "passed")
    differs = []
    for test, what in _CONTROLS.items():
        said = found[test]
        if said.state == "skipped":
            answer.row(what, "not run", kept=NEEDS_CUDA)
            continue
        # The test notes it before it looks at where: so a failure may still have seen one.
        differs.append(said.noted.get("differs") == "True")
        words = "the twins differ" if differs[-1] else "the twins have the same bits"
        words += f"; the test failed: {said.why}" if said.state == "failed" else ""
        answer.row(what, words, kept=False if said.state == "failed" else None)
    asked = "at least one of the controls differs"
    kept: bool | str = any(differs) if differs else NEEDS_CUDA
    answer.row(
        "the check sees a difference",
        f"{sum(differs)} of {len(differs)} differ" if differs else "not run",
        asked=asked,
        kept=kept,
    )
