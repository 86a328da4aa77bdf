"""What a training never calls is not imported with it, and is there when it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from twinrun import deferred

# Each took a tenth of a second or more of every start.
UNUSED = {
    "scipy.ndimage",
    "scipy.stats",
    "sklearn",
    "sympy",
    "timm",
    "torch._dynamo",
    "torch._inductor",
    "triton",
    "wandb",
}

TRAINING = """
import json, sys
from twinrun.__main__ import main
import twinrun.verify.verify
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""

# In a process of its own, since that of the tests has all of them.
LIBRARIES = """
import sys
from twinrun.deferred import _StandIn, defer_imports

defer_imports()
defer_imports()
from fastai import basics, imports, interpret
import torch
import torchvision

assert not {unused} & set(sys.modules)
assert not [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]
assert type(sys.modules["fastai.metrics"].__loader__).__name__ == "SourceFileLoader"

image, box = torch.arange(16.0).reshape(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
assert torchvision.ops.roi_align(image, box, 1, sampling_ratio=1, aligned=True).item() == 2.5
assert [len(part) for part in basics.TrainTestSplitter(test_size=0.5)(range(4))] == [2, 2]
assert imports.ndimage.zoom([1.0], 3).tolist() == [1.0, 1.0, 1.0]
assert basics.F1Score().func.__name__ == "f1_score"
assert basics.PearsonCorrCoef().func is not None
assert interpret.skm.accuracy_score([1], [1]) == 1

import scipy.ndimage, scipy.stats, sklearn.metrics, torch._dynamo.utils
assert not [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]
""".replace("{unused}", repr(UNUSED))


def python(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_training_imports_nothing_that_it_does_not_use(small_toml: Path, tmp_path: Path) -> None:
    answer = python(TRAINING, "train", "a", "--quiet", "--config", small_toml, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    imported = set(json.loads(answer.stdout))
    assert {"fastai.learner", "torchvision.models"} <= imported
    assert not UNUSED & imported
    # A process that is alone needs neither the rooms of several nor their extras.
    several = ("twinrun.distributed", "twinrun.cluster", "ray", "accelerate")
    assert not [name for name in imported if name.startswith(several)]


@pytest.mark.slow  # a process that imports all that no training needs
def test_what_was_left_for_later_is_imported_when_it_is_used(tmp_path: Path) -> None:
    answer = python(LIBRARIES, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr


BESIDE = """
from twinrun.deferred import _stand_ins

with _stand_ins({"scipy.ndimage": ()}):
    import scipy
    import scipy.optimize
    assert scipy.__version__[0].isdigit()
assert scipy.optimize.minimize is not None
"""


def test_what_stands_beside_it_can_be_imported_at_the_same_time(tmp_path: Path) -> None:
    """As a different thread may."""
    subprocess.run([sys.executable, "-c", BESIDE], cwd=tmp_path, check=True, timeout=120)


def test_a_module_that_uses_it_while_it_is_imported_gets_the_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "slow_part"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "answer.py").write_text("NUMBER = 42\ndef ask():\n    return NUMBER\n")
    (tmp_path / "eager.py").write_text(
        "import slow_part.answer as answer\nfrom slow_part.other import double\n"
        "early = answer.NUMBER\n"
    )
    (package / "other.py").write_text("def double(number):\n    return 2 * number\n")
    later = {"eager": {"slow_part.answer": (), "slow_part.other": ("double",)}}
    monkeypatch.setattr(deferred, "DEFERRED", later)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.syspath_prepend(tmp_path)
    deferred.defer_imports()
    import eager  # type: ignore[import-not-found]

    assert eager.early == eager.answer.ask() == 42
    assert eager.double(4) == 8
    assert sys.modules["slow_part.answer"].ask() == 42
