"""A run as ONNX files: what they predict beside what the run did, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import FIXTURE, Command
from tests.exact import read_exact
from twinrun.data.decoding import decode_to
from twinrun.errors import InputError
from twinrun.export import standalone
from twinrun.export.exporting import export_run
from twinrun.predict.recorded_blend import RecordedBlend

# What predict.py may import beside Python's own: onnxruntime, NumPy, Pillow, and what these need.
ALONE = """
import sys, runpy

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "fastai", "pandas", "cv2", "twinrun", "timm"}:
            raise ModuleNotFoundError(f"{name} is not there", name=name)

sys.meta_path.insert(0, Nothing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


# Its mean is no more than the shares that are shown.
STACKED = RecordedBlend(
    method="logistic",
    weights={"a": 1.0, "b": 1.0},
    model={},
    temperature=1.0,
    missing=(),
    partial=False,
)


@pytest.fixture(scope="module")
def exported(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's export."""
    folder = tmp_path_factory.mktemp("onnx") / "full-onnx"
    found = export_run(recorded, folder)
    assert [each.name for each in found] == ["a/fold-1", "a/fold-2", "b"]
    assert all(each.file.is_file() for each in found)
    for each in found:
        assert each.verdict.grade.name in ("same bits", "same to rounding"), each.verdict.largest
        assert min(each.rates) > 0
    return folder


@pytest.mark.slow
def test_a_run_becomes_files_that_are_recorded(exported: Path) -> None:
    record = json.loads((exported / "export.json").read_text())
    files = {path.name for path in exported.iterdir()}
    assert files == {"a.fold-1.onnx", "a.fold-2.onnx", "b.onnx", "export.json", "predict.py"}
    assert set(record["files"]) == {"a.fold-1.onnx", "a.fold-2.onnx", "b.onnx"}
    for told in record["files"].values():
        assert told["grade"]["gaps"][0]["largest"] < 1e-4
        assert told["images_per_second"]["onnxruntime"] > 0


@pytest.mark.slow
def test_the_exports_own_script_predicts_as_the_run_did(
    recorded: Path, exported: Path, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.csv"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            ALONE,
            exported / "predict.py",
            FIXTURE / "test",
            "--output",
            output,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"24 images: {output}\n"
    found = read_exact(output, dtype={"id": str}).set_index("id")
    run = read_exact(recorded / "submission.csv", dtype={"ID": str}).set_index("ID")
    assert np.abs(found.loc[run.index, run.columns].to_numpy() - run.to_numpy()).max() < 1e-4


@pytest.mark.slow
def test_another_network_in_a_file_is_seen(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twinrun.export.graph import ExportedNetwork

    forward = ExportedNetwork.forward
    monkeypatch.setattr(ExportedNetwork, "forward", lambda self, x: forward(self, 255 - x))
    found = export_run(recorded, tmp_path / "out")
    assert {each.verdict.grade.name for each in found} == {"different"}


def test_its_script_says_where_there_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "export.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("no image")
    monkeypatch.setattr(standalone, "HERE", tmp_path)
    assert standalone.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: no image in {tmp_path}\n"


def test_its_script_decodes_as_the_engine_does() -> None:
    size = 48
    for path in standalone.find(FIXTURE):
        image = np.asarray(decode_to(path, size).image)
        top, left = ((each - size + 1) // 2 for each in image.shape[:2])
        middle = image[top : top + size, left : left + size].transpose(2, 0, 1)
        assert np.array_equal(standalone.decode(path, size), middle), path


def test_what_cannot_be_exported_is_named_before_anything_is_written(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twinrun.export import exporting

    monkeypatch.setattr(exporting, "METHODS", ("none",))
    monkeypatch.setattr(exporting, "_MEANS", ("geometric",))
    with pytest.raises(InputError) as caught:
        export_run(recorded, tmp_path / "out")
    assert "a: test_time.method = 'flips'" in str(caught.value)
    assert "the blend: arithmetic" in str(caught.value)
    monkeypatch.undo()
    monkeypatch.setattr(exporting, "find_blend", lambda *_: STACKED)
    with pytest.raises(InputError, match="the blend: logistic"):
        export_run(recorded, tmp_path / "out")
    monkeypatch.undo()

    def fail(*_: object) -> None:
        raise RuntimeError("an operator that it does not know")

    monkeypatch.setattr(exporting, "_export_one", fail)
    with pytest.raises(InputError, match=r"b \(resnet18\): an operator"):
        export_run(recorded, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_use_is_reported(
    recorded: Path, invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full-onnx").mkdir()
    (tmp_path / "full-onnx" / "mine").touch()
    answer = invoke("export", recorded)
    assert (answer.returncode, "full-onnx is there already" in answer.stderr) == (2, True)
    answer = invoke("export", recorded, "--format", "coreml")
    assert (answer.returncode, "--format coreml: there is only onnx" in answer.stderr) == (2, True)
    answer = invoke("export", tmp_path, "--output", "new")
    assert (answer.returncode, "is not a run" in answer.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    answer = invoke("export", recorded, "--output", "new")
    assert (answer.returncode, "needs the package onnxruntime" in answer.stderr) == (2, True)
    assert not (tmp_path / "new").exists()
