"""Real pretrained weights, from packages of the registry: written, trained, packed, made again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from benchmarks import pretrained
from tests.conftest import FIXTURE, SMALL, Command
from tests.package.packing import committed_source
from twinrun import prepare, submit, train_run
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.networks.table import weights_of
from twinrun.networks.timm_models import pretrained_model
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.repro.environment import set_up
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.records import read_record
from twinrun.train.members import set_up_training

LITE = "timm/tf_efficientnet_lite0"
INSTALLED = find_spec(pretrained.PACKAGES[LITE]) is not None
needs_package = pytest.mark.skipif(
    not INSTALLED, reason="needs the packages of benchmarks/pretrained.lock"
)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """torch's folder of weights, empty."""
    folder = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        yield folder


def layers(like: str = "tf_efficientnet_lite0") -> dict[str, torch.Tensor]:
    """The tensors of a network under names of their own, each with its last part as it is."""
    with torch.device("meta"):
        state = timm.create_model(like).state_dict()
    return {f"_{n}.{name.rpartition('.')[2]}": each for n, (name, each) in enumerate(state.items())}


def test_weights_get_timms_names_by_their_order() -> None:
    found = pretrained.renamed(layers(), LITE)
    assert list(found)[:2] == ["conv_stem.weight", "bn1.weight"]
    assert list(found)[-1] == "classifier.bias"


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(InputError, match="386 tensors"):
        pretrained.renamed(layers("tf_efficientnet_lite1"), LITE)
    wrong = layers()
    first, second = list(wrong)[1:3]
    swapped = {{first: second, second: first}.get(name, name): each for name, each in wrong.items()}
    with pytest.raises(InputError, match=r"bn1\.weight"):
        pretrained.renamed(swapped, LITE)


def test_a_package_that_is_not_installed_is_named_with_its_lock(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    for arguments in ([], [LITE]):
        monkeypatch.setattr("sys.argv", ["pretrained", *arguments])
        with pytest.raises(SystemExit) as end:
            pretrained.main()
        assert end.value.code == 2
        assert re.search(
            r"not installed: efficientnet_lite0.*\n.*benchmarks/pretrained\.lock",
            capsys.readouterr().err,
        )


def test_the_lock_names_every_package_with_its_hash() -> None:
    lines = pretrained.LOCK.read_text(encoding="utf-8")
    named = re.findall(r"^([\w-]+)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", lines, re.MULTILINE)
    assert [name.replace("-", "_") for name in named] == list(pretrained.PACKAGES.values())


@needs_package
@pytest.mark.slow
def test_all_that_are_installed_are_written_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["pretrained"])
    pretrained.main()
    written = sorted(home.rglob("*.safetensors"))
    assert written[0].name == "timm-tf_efficientnet_lite0.in1k.safetensors"
    before = [path.stat().st_mtime_ns for path in written]
    assert "timm/tf_efficientnet_lite0" in capsys.readouterr().out
    # timm loads them strictly, and they are no longer what it draws.
    model = pretrained_model("tf_efficientnet_lite0", 64)
    content = safetensors.torch.load_file(written[0])
    assert all(torch.equal(each, content[name]) for name, each in model.state_dict().items())
    pretrained.main()
    assert [path.stat().st_mtime_ns for path in written] == before


CHANGES = (
    f"recipe.network={LITE}",
    "recipe.pretrained=true",
    "recipe.image_size=64",
    "recipe.validation={folds=2}",
    "recipe.mixup=0.0",
    "recipe.frozen_rates=[2e-3,2e-3]",
    "recipe.unfrozen_rates=[2e-4,2e-3]",
    "recipe.epochs={frozen=2,unfrozen=3}",
)
FOLD = "a/fold-1"


@pytest.fixture(scope="module")
def toml(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of one member, whose weights are there."""
    pretrained.write_weights(LITE)
    path = tmp_path_factory.mktemp("lite") / "small.toml"
    text = SMALL.replace("[members.b]\nmixup = 0.0\n", "").replace(", b = 1.0", "")
    path.write_text(text.format(folder=FIXTURE.as_posix()), encoding="utf-8")
    return path


def trained(toml: Path, name: str, names: list[str], *changes: str) -> prepare.Prepared:
    settings = read_settings(toml, changes=[*CHANGES, *changes])
    prepared = prepare.prepare(settings, toml.parent / "runs" / name)
    train_run.train(prepared, names, time.perf_counter())
    return prepared


@pytest.fixture(scope="module")
def whole(toml: Path) -> prepare.Prepared:
    """A run whose two folds are trained and blended."""
    run = trained(toml, "full", ["a"])
    submit.blend_run(run.folder, run.settings, run.sample_path, run.folder / "submission.csv")
    prepare.keep_record(run, time.perf_counter())
    return run


def unchanged(run: Path) -> set[str]:
    """The convolutions of a fold's body that are still ImageNet's."""
    imagenet = safetensors.torch.load_file(weights_of(LITE).file(LITE))
    weights = safetensors.torch.load_file(run / "members" / FOLD / "weights.safetensors")
    convolutions = {name: each for name, each in imagenet.items() if each.ndim == 4}
    same = {n for n, each in convolutions.items() if torch.equal(each, weights[f"0.model.{n}"])}
    assert len(convolutions) == 49
    return same


@needs_package
@pytest.mark.slow
def test_it_begins_with_them_and_with_pixels_from_minus_one_to_one(
    whole: prepare.Prepared,
) -> None:
    environment = set_up(threads=1, device="cpu")
    begun = set_up_training(FOLD, whole.settings, whole.index, whole.pixels, environment)
    pixels, _ = next(iter(begun.loaders.valid))
    assert float(pixels.min()) >= -1
    assert 0.9 < float(pixels.max()) <= 1
    imagenet = safetensors.torch.load_file(weights_of(LITE).file(LITE))
    body = begun.learner.model.state_dict()
    assert torch.equal(body["0.model.conv_stem.weight"], imagenet["conv_stem.weight"])


@needs_package
@pytest.mark.slow
def test_frozen_it_keeps_them_and_thawed_it_learns(toml: Path, whole: prepare.Prepared) -> None:
    frozen = trained(toml, "frozen", [FOLD], "recipe.epochs={frozen=1,unfrozen=0}")
    assert len(unchanged(frozen.folder)) == 49
    assert unchanged(whole.folder) == set()
    fold = whole.folder / "members" / FOLD
    record = read_record(fold)
    assert record is not None
    file = weights_of(LITE).file(LITE)
    assert record["pretrained"] == {"file": file.name, "sha256": sha256_file(file)}
    whats = Ledger.read(fold / "ledger.parquet").rows().to_pydict()["what"]
    assert {"pixels.mean", "pixels.deviation"} <= set(whats)
    member = read_record(fold.parent)
    assert member is not None
    assert member["scores"]["valid_loss"] < 0.9  # uniform guessing: 1.0986


@needs_package
@pytest.mark.slow
def test_its_package_predicts_and_is_made_again(
    whole: prepare.Prepared,
    tmp_path: Path,
    invoke: Command,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    package = tmp_path / "full-zindi.zip"
    (tmp_path / "source").mkdir()
    source = committed_source(tmp_path / "source")
    make_package(whole.folder, HOSTS.get("zindi"), package, force=False, project=source)
    images = ("--images", FIXTURE / "test", "--sample", FIXTURE / "sample_submission.csv")
    answer = invoke("predict", package, *images, "--output", tmp_path / "new.csv")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "new.csv").read_bytes() == (whole.folder / "submission.csv").read_bytes()

    verify = ("verify", package, "--data", FIXTURE, "--this-environment")
    answer = invoke(*verify, "--retrain", "--out", tmp_path / "again", COLUMNS="200")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1].endswith(": same bits")

    # Without the file a verifier is told what to put where; to predict needs none.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    capfd.readouterr()
    answer = invoke(*verify, "--retrain", "--out", tmp_path / "without", COLUMNS="200")
    assert answer.returncode == 2
    told = " ".join((answer.stderr + capfd.readouterr().err).split())
    assert f"the pretrained weights of {LITE} cannot be had" in told
    assert f"at {weights_of(LITE).file(LITE)} or train without" in told
    answer = invoke(*verify, "--out", tmp_path / "predicted", COLUMNS="200")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert weights_of(LITE).file(LITE).exists() is False
