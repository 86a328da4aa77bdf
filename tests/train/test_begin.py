"""A member that begins with the weights of a file: named by content, filled, refused, kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from fastai.callback.core import Callback
from torch import nn

from tests.kills.sameness import differing
from tests.kills.small import OFTEN
from tests.report.made_run import make_run
from tests.train.test_resume import Place, Small
from twinrun.config.reading import read_settings
from twinrun.errors import InputError
from twinrun.files import sha256_file
from twinrun.networks.beginning import keep, kept_file
from twinrun.networks.family import Features
from twinrun.report.report import render
from twinrun.run_folder.records import read_record
from twinrun.train.beginning import begin_with
from twinrun.train.network import Network, build_head


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """torch's folder of weights, empty."""
    folder = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        yield folder


def network(classes: int = 3, width: int = 4) -> Network:
    body = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
    head = build_head(Features(width, pooled=False), classes, 0.5)
    return Network(body, head, "fp32")


def saved(tensors: dict[str, torch.Tensor], path: Path) -> Path:
    path.write_bytes(safetensors.torch.save({n: each.contiguous() for n, each in tensors.items()}))
    return path


def same(first: nn.Module, second: nn.Module, part: str) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(each, two[n]) for n, each in one.items() if n.startswith(part))


def test_body_and_head_of_a_training_are_taken(tmp_path: Path) -> None:
    given, model = network(), network()
    assert begin_with(model, saved(given.state_dict(), tmp_path / "a"), "m") == ""
    assert same(given, model, "")


def test_a_head_of_another_number_of_classes_is_left_out_and_told(tmp_path: Path) -> None:
    given, model, before = network(classes=5), network(), network()
    before.load_state_dict(model.state_dict())
    told = begin_with(model, saved(given.state_dict(), tmp_path / "a"), "m")
    assert (
        told == "the head of the file is left out: 1.8.weight: (5, 512) in the file, (3, 512) here"
    )
    assert same(given, model, "0.")
    assert same(before, model, "1.")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_backbone_alone_is_taken_by_its_own_names(tmp_path: Path, wrapped: bool) -> None:
    given, model = network(), network()
    if wrapped:  # as the engine wraps a network of timm's
        for each in (given, model):
            each[0] = nn.ModuleDict({"model": each[0]})
    names = ("0.model." if wrapped else "0.",)
    own = {n.removeprefix(names[0]): t for n, t in given.state_dict().items() if n[0] == "0"}
    own["classifier.weight"] = torch.zeros(1000, 4)
    told = begin_with(model, saved(own, tmp_path / "a"), "m")
    assert told == "the file has no head: it is drawn"
    assert same(given, model, "0.")


def test_another_backbone_is_refused_with_its_shapes(tmp_path: Path) -> None:
    other = network(width=8).state_dict()
    del other["0.1.bias"]
    model, before = network(), network()
    before.load_state_dict(model.state_dict())
    with pytest.raises(InputError, match="another backbone") as refused:
        begin_with(model, saved(other, tmp_path / "a"), "m")
    assert "0.weight: (8, 3, 3, 3) in the file, (4, 3, 3, 3) here" in refused.value.details
    assert "1.bias is missing" in refused.value.details
    assert same(before, model, "")
    (tmp_path / "b").write_bytes(b"not such a file")
    with pytest.raises(InputError, match="format safetensors"):
        begin_with(model, tmp_path / "b", "m")


def test_weights_are_kept_by_their_content(tmp_path: Path) -> None:
    source = saved(network().state_dict(), tmp_path / "a")
    digest = sha256_file(source)
    with pytest.raises(InputError, match=f"are not here.*{digest}") as refused:
        keep(digest, None)
    assert str(kept_file(digest)) in refused.value.fix
    assert keep(digest, source) == kept_file(digest)
    source.unlink()
    assert sha256_file(keep(digest, source)) == digest
    kept_file(digest).write_bytes(b"other")
    with pytest.raises(InputError, match="damaged, or was exchanged"):
        keep(digest, source)
    kept_file(digest).unlink()


def test_the_identity_has_the_content_and_no_path(small_toml: Path) -> None:
    folder = small_toml.parent
    plain = read_settings(small_toml).training_content("a")
    assert "begin" not in plain["member"]
    none = read_settings(small_toml, changes=['members.a.begin=""'])
    assert none.training_content("a") == plain
    (folder / "first").mkdir()
    one = saved(network().state_dict(), folder / "first" / "weights.safetensors")
    shutil.copyfile(one, folder / "copy")
    first, second = (
        read_settings(small_toml, changes=[f'members.a.begin="{name}"']).training_content("a")
        for name in ("first", "copy")
    )
    assert first == second
    assert first["member"]["begin"] == {"sha256": sha256_file(one)}
    saved(network().state_dict(), folder / "copy")
    other = read_settings(small_toml, changes=['members.a.begin="copy"']).training_content("a")
    assert other != first


def test_what_is_not_there_or_another_file_is_named(small_toml: Path) -> None:
    folder = small_toml.parent
    (folder / "run" / "a" / "fold-1").mkdir(parents=True)
    (folder / "file").write_bytes(b"x")
    zeros = "0" * 64
    for value, told in (
        ('"nowhere"', "there is no .*nowhere: a file, or the folder"),
        ('"run/a"', r"run/a has folds: name one of them, such as fold-1"),
        (
            '"run/a/fold-1"',
            "there is no .*weights.safetensors: a file, or the folder of a complete",
        ),
        (f'{{file="file",sha256="{zeros}"}}', f"has the SHA-256 .*, not {zeros}"),
        ('{sha256="12"}', "64 digits"),
    ):
        with pytest.raises(InputError, match=rf"(?s)members\.a\.begin.*{told}"):
            read_settings(small_toml, changes=[f"members.a.begin={value}"])


def test_a_file_that_is_gone_is_looked_for_by_its_content(small_toml: Path) -> None:
    change = f'members.a.begin={{file="gone",sha256="{"1" * 64}"}}'
    settings = read_settings(small_toml, changes=[change])
    assert settings.training_content("a")["member"]["begin"] == {"sha256": "1" * 64}
    with pytest.raises(InputError, match="are not here"):
        keep("1" * 64, settings.begin_file("a"))


def test_the_report_says_what_a_member_began_with(tmp_path: Path) -> None:
    digest = "1" * 64
    html = render(make_run(tmp_path, changes=[f'members.a.begin={{sha256="{digest}"}}']))
    assert html.count(f"began with the weights of a file, SHA-256 {digest}") == 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.of(tmp_path_factory.mktemp("begin"))


class AtStart(Callback):
    """The weights as the first step finds them."""

    __module__ = "twinrun.tests"

    def __init__(self) -> None:
        self.weights = dict[str, torch.Tensor]()

    def before_fit(self) -> None:
        if not self.weights:
            state = self.learn.model.state_dict()
            self.weights = {name: each.clone() for name, each in state.items()}


def test_a_training_begins_with_anothers_and_needs_its_path_no_more(small: Small) -> None:
    first = small.train("first")
    begin = f"members.a.begin={str(first)!r}"
    start = AtStart()
    second = small.train("second", begin, callbacks=[start])
    given = safetensors.torch.load_file(first / "weights.safetensors")
    assert all(torch.equal(each, given[name]) for name, each in start.weights.items())
    digest = sha256_file(first / "weights.safetensors")
    record = read_record(second)
    assert record is not None
    assert record["pretrained"] == {"file": kept_file(digest).name, "sha256": digest}
    assert "weights.safetensors" in differing(first, second)
    again = small.train("again", f'members.a.begin={{sha256="{digest}"}}')
    assert differing(second, again) == []


@pytest.mark.slow
@pytest.mark.parametrize("fold", ["", "/fold-2"])
def test_killed_and_resumed_it_has_the_same_bits(small: Small, fold: str) -> None:
    name, member = f"begun{fold}".replace("/", "-"), f"a{fold}"
    changes = [f"members.a.begin={str(small.train('source'))!r}"]
    changes += ["recipe.validation={folds=3}"] if fold else []
    whole = small.train(f"whole {name}", *changes, member=member)
    small.interrupted(name, Place(3, "step", 2), OFTEN, *changes, member=member)
    resumed = small.train(name, "run.workers=2", *changes, member=member)
    assert differing(whole, resumed) == []
