"""The pages for each host: what was measured is on them, and names from outside stay text."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.package.packing import commit, engine_that_tells, thin_project
from tests.run_folder.documents import edited
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.package.hosts import HOSTS, write_texts
from twinrun.package.package import make_package
from twinrun.package.page_facts import collect_page_facts
from twinrun.package.worktree import WorkTree, read_work_tree
from twinrun.repro.source import code_digest
from twinrun.run_folder.manifest import read_manifest


def pages(run: Path, host: str, faults: tuple[str, ...] = ()) -> dict[str, str]:
    lock = run / "requirements.lock"
    lock.write_text(f"torch==2.15.0 \\\n    --hash=sha256:{'0' * 64}\n")
    facts: dict[str, Any] = collect_page_facts(
        run, read_manifest(run), WorkTree(run, (), "0123456789", ()), faults, {}
    )
    texts = write_texts(HOSTS.get(host), facts, {"code/requirements.lock": lock})
    return {name: text.decode() for name, text in texts.items()}


@pytest.mark.parametrize("host", HOSTS.names)
def test_each_readme_says_what_was_measured_on_what(run: Path, host: str) -> None:
    text = pages(run, host)["README.md"]
    for expected in (
        "0123456789",
        sha256_file(run / "submission.csv"),
        "| train a: its epochs | 1 min 03 s |",
        "| a: get ready, predict validation and test images, write | 8 s |",
        "| all members together | 2 min 21 s |",
        "| the last command of the run, as a whole | 2 min 30 s |",
        "| a | timm/test\\_resnet | 32 px | 25 % | 1 + 1 | 0.5000 | 0.750 | 2 | 1 min 10 s |",
        "- Operating system: Linux-6.1",
        "- Processor: x86\\_64, 2 cores; threads used: 1, instruction set AVX2",
        "- GPU: none used",
        "- torch 2.15.0",
        "train (96 images that were trained with, labelled as train/&lt;class&gt;/&lt;image&gt;)",
        "test (24 images)",
        "twinrun verify PACKAGE.zip --data DATA --retrain",
    ):
        assert expected in text
    assert "forced" not in text
    assert "\n\n\n" not in text


def test_a_resumed_trainings_rest_is_not_made_up(run: Path) -> None:
    edited(run / "manifest.json", "beside", "seconds", "members", "a", value=5.0)
    text = pages(run, "drivendata")["README.md"]
    assert "write | not measured, the training was resumed |" in text


def test_a_gpu_is_named(run: Path) -> None:
    for key, value in {"gpu": "A100_80", "cuda": "12.8", "cudnn": 91000}.items():
        edited(run / "manifest.json", "content", "environment", key, value=value)
    edited(run / "manifest.json", "beside", "environment", "driver", value="570.1")
    text = pages(run, "zindi")["README.md"]
    assert "- GPU: A100\\_80, CUDA 12.8, cuDNN 91000, driver 570.1" in text


@pytest.mark.parametrize("host", HOSTS.names)
def test_marks_and_html_in_names_stay_text(run: Path, host: str) -> None:
    name = "<script>alert(1)</script>\n# [click](http://evil) | `x`"
    edited(run / "manifest.json", "content", "settings", "competition", "name", value=name)
    edited(run / "manifest.json", "content", "settings", "data", "train", value="<b>|*")
    text = pages(run, host, faults=("<img src=x>: **changed**",))["README.md"]
    assert "<" not in text.replace("<br>", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\# \\[click\\](http://evil) \\| \\`x\\`" in text
    assert "&lt;b&gt;\\|\\*" in text
    assert "> - &lt;img src=x&gt;: \\*\\*changed\\*\\*" in text


def test_kaggle_gets_its_files_and_only_kaggle(run: Path) -> None:
    own = {
        *("SETTINGS.json", "entry_points.md", "requirements.txt", "directory_structure.txt"),
        *("predict.py", "train.py"),
    }
    found = pages(run, "kaggle")
    assert found.keys() == own | {"README.md"}
    assert found["requirements.txt"] == (run / "requirements.lock").read_text()
    assert found["directory_structure.txt"].splitlines() == sorted(
        [*found, "package.json", "code/", "code/requirements.lock"]
    )
    for host in ("zindi", "drivendata"):
        assert pages(run, host).keys() == {"README.md"}


def test_the_page_of_packages_names_each_host_its_files_and_its_deadline() -> None:
    page = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.count("|") == 4}
    for host in HOSTS:
        row = rows[f"{host.title}, `--for {host.name}`"]
        for name in host.extra:
            assert f"`{name}`" in row
        assert (f"{host.hours} hours" if host.hours else "as its rules state") in row


@pytest.mark.parametrize("script", ["predict.py", "train.py"])
def test_kaggles_scripts_take_every_path_from_the_settings(
    run: Path, tmp_path: Path, script: str
) -> None:
    folder = tmp_path / "package"
    (folder / "code" / "twinrun").mkdir(parents=True)
    for name, text in pages(run, "kaggle").items():
        (folder / name).write_text(text)
    # In place of the engine: what it is called with.
    (folder / "code" / "twinrun" / "__init__.py").touch()
    main = "import sys, json\nprint(json.dumps(sys.argv[1:]))\nsys.exit(1)\n"
    (folder / "code" / "twinrun" / "__main__.py").write_text(main)
    settings = {
        **{"RAW_DATA_DIR": "/images", "RUN_DIR": "run", "OUTPUT_DIR": "out"},
        **{"TEST_DATA_DIRS": ["/new", "more"], "SAMPLE_SUBMISSION": "/sample.csv"},
    }
    (folder / "SETTINGS.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, folder / script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1, done.stderr
    expected = {
        "predict.py": [
            *("predict", f"{folder}/run", "--images", "/new", "--images", f"{folder}/more"),
            *("--sample", "/sample.csv", "--output", f"{folder}/out/submission.csv"),
        ],
        "train.py": ["verify", f"{folder}/run", "--data", "/images", "--out", f"{folder}/out"],
    }
    assert json.loads(done.stdout) == expected[script]


def unpacked_package(run: Path, project: Path, host: str, folder: Path) -> Path:
    """The package of a run that the project's engine has made, unpacked as a host does it."""
    for key, value in (
        (("content", "code"), read_work_tree(project).engine().code),
        (("content", "environment", "python"), platform.python_version()),
    ):
        edited(run / "manifest.json", *key, value=value)
    package = folder.with_suffix(".zip")
    make_package(run, HOSTS.get(host), package, force=False, project=project)
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


def shell(commands: str, folder: Path) -> list[list[str]]:
    """Run commands in one shell; what the engine in place of Twinrun was called with, per call."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            **{name: value for name, value in os.environ.items() if name not in hidden},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PIP_NO_INDEX": "1",  # all there is stands in the package
            "UV_NO_INDEX": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def blocks(page: str) -> list[str]:
    """The commands of a README, without those for whoever has the tool itself."""
    found = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    places = {"DATA": "/images", "TEST": "/new", "SAMPLE": "/sample.csv"}
    commands = [block for block in found if "PACKAGE.zip" not in block]
    for word, place in places.items():
        commands = [command.replace(word, place) for command in commands]
    return commands


@pytest.mark.parametrize(
    ("host", "form"),
    [
        pytest.param("zindi", "wheel", marks=pytest.mark.slow),
        pytest.param("drivendata", "unpacked engine", marks=pytest.mark.slow),
    ],
)
def test_a_readmes_commands_work_as_they_stand_one_after_the_other(
    run: Path, tmp_path: Path, host: str, form: str
) -> None:
    project = thin_project(tmp_path / "project", engine_that_tells(tmp_path / "twinrun"))
    if form == "unpacked engine":
        engine_that_tells(project / "twinrun")
        with (project / "twinrun" / "__main__.py").open("a") as file:
            file.write("# edited\n")
        commit(project)
    folder = unpacked_package(run, project, host, tmp_path / "package")
    install, *others = blocks((folder / "README.md").read_text())
    assert len(others) == 3
    called = shell(install + "".join(others), folder)
    (place,) = {place for place, *_ in called}
    assert code_digest(Path(place).parent) == read_work_tree(project).engine().code
    inside = folder / ("code/twinrun" if form == "unpacked engine" else "environment/lib")
    assert inside in Path(place).parents
    options = ["--data", "/images", "--out", "../output"]
    new = ["--images", "/new", "--sample", "/sample.csv", "--output", "../output/submission.csv"]
    assert sorted(arguments for _, *arguments in called) == [
        ["predict", "../run", *new],
        ["verify", "../run", "--data", *options[1:]],
        ["verify", "../run", "--predict-only", *options],
    ]


def test_a_readmes_commands_for_uv_work_too(run: Path, tmp_path: Path) -> None:
    project = thin_project(tmp_path / "project", engine_that_tells(tmp_path / "twinrun"))
    folder = unpacked_package(run, project, "zindi", tmp_path / "package")
    page = (folder / "README.md").read_text()
    with_uv = re.findall(r"`([^`]+)`", page[page.index("With uv:") :])[:2]
    called = shell("\n".join([*with_uv, *blocks(page)[1:]]), folder)
    assert [arguments[0] for _, *arguments in called] == ["verify", "verify", "predict"]
    assert all(folder / "environment" in Path(place).parents for place, *_ in called)


def test_kaggles_commands_work_as_they_stand(run: Path, tmp_path: Path) -> None:
    project = thin_project(tmp_path / "project", engine_that_tells(tmp_path / "twinrun"))
    folder = unpacked_package(run, project, "kaggle", tmp_path / "package")
    page = (folder / "README.md").read_text()
    scripts = re.findall(r"`(environment/bin/python [a-z]+\.py)`", page)
    assert len(scripts) == 2
    called = shell("\n".join([*blocks(page), *scripts]), folder)
    options = ["--data", str(folder / "data"), "--out", str(folder / "output")]
    new = ["--images", f"{folder}/data/test", "--sample", f"{folder}/data/sample_submission.csv"]
    assert [arguments for _, *arguments in called] == [
        ["predict", str(folder / "run"), *new, "--output", f"{folder}/output/submission.csv"],
        ["verify", str(folder / "run"), *options],
    ]
    assert all(folder / "environment" in Path(place).parents for place, *_ in called)


def test_an_unknown_host_is_told_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        HOSTS.get("kagle")
    assert "did you mean 'kaggle'?" in str(caught.value)
    assert "zindi, kaggle, drivendata" in str(caught.value)
