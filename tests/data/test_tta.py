"""Test-time augmentation: each pass's pixels are a function of seed, member, pass and image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.core import DataLoaders
from torch import Tensor, nn

from twinrun.config.recipe import Member
from twinrun.data.augment import Augmentation
from twinrun.data.keyed_loader import KeyedLoader
from twinrun.data.loaders import member_loaders, prediction_loader
from twinrun.data.pixels import Pixels
from twinrun.data.tta import View, tta_views
from twinrun.networks.table import family_of
from twinrun.repro.keys import Key
from twinrun.train.network import Network, build_head
from twinrun.train.predict import predict

SIZE = 16
# Rows and columns of eight images as they lie in a cache: square, tall and wide.
SHAPES = [(16, 16), (24, 16), (16, 30)] * 2 + [(16, 16), (40, 16)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    names = [f"image{number}" for number in range(len(SHAPES))]
    labels = ["rust", "healthy"] * (len(SHAPES) // 2)
    return pd.DataFrame({"id": names, "sha256": [f"sha-{n}" for n in names], "label": labels})


@pytest.fixture(scope="module")
def pixels(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    path: Path = tmp_path_factory.mktemp("cache") / "pixels"
    images = [
        (Key(("pixels", number)).uniforms(rows * columns * 3) * 256).astype(np.uint8)
        for number, (rows, columns) in enumerate(SHAPES)
    ]
    path.write_bytes(b"".join(image.tobytes() for image in images))
    offsets = np.cumsum([0, *(len(image) for image in images[:-1])])
    places = pd.DataFrame(
        {"offset": offsets, "rows": [r for r, _ in SHAPES], "columns": [c for _, c in SHAPES]},
        index=table["sha256"],
    )
    return Pixels(SIZE, path, places)


def recipe(method: str, times: int = 4, **values: bool) -> Member:
    return Member.model_validate(
        {
            "network": "resnet18",
            "batch_size": 2,
            "image_size": 32,
            "epochs": {"frozen": 1, "unfrozen": 0},
            "validation": {"share": 0.5},
            "test_time": {"method": method, "times": times},
            **values,
        }
    )


MakeLoader = Callable[..., KeyedLoader]


@pytest.fixture
def make_loader(table: pd.DataFrame, pixels: Pixels) -> MakeLoader:
    def make(
        member: Member | None = None,
        *,
        seed: int = 0,
        name: str = "a",
        order: Sequence[int] = range(len(SHAPES)),
        batch: int = 3,
        workers: int = 0,
    ) -> KeyedLoader:
        member = (member or recipe("train")).model_copy(update={"prediction_batch_size": batch})
        loaders: DataLoaders = member_loaders(
            table,
            held_out=["image0"],
            pixels=pixels,
            classes=["rust", "healthy"],
            member=member,
            key=Key((seed, name)),
            workers=workers,
            device=torch.device("cpu"),
        )
        return prediction_loader(loaders, table.iloc[list(order)], pixels)

    return make


def seen(loader: KeyedLoader, view: View) -> dict[str, bytes]:
    """The bits of every image in a pass, by id."""
    with loader.show_as(view):
        images = torch.cat([batch[0] for batch in loader])
    return {name: image.numpy().tobytes() for name, image in zip(loader.ids, images, strict=True)}


def plain(loader: KeyedLoader) -> Tensor:
    return torch.cat([batch[0] for batch in loader])


METHODS = ["flips", "crops", "train"]


@pytest.mark.parametrize("method", METHODS)
def test_a_passs_bits_depend_on_no_order_batch_worker_or_epoch(
    make_loader: MakeLoader, method: str
) -> None:
    view = View(method, 1)
    expected = seen(make_loader(), view)
    disturbed = make_loader(order=[5, 1, 7, 0, 2, 6, 4, 3], batch=2)
    disturbed.epoch = 3
    seen(disturbed, View(method, 0))
    torch.rand(7)
    assert seen(disturbed, view) == expected
    assert seen(make_loader(workers=2), view) == expected


@pytest.mark.parametrize("method", METHODS)
def test_another_pass_shows_every_image_otherwise(make_loader: MakeLoader, method: str) -> None:
    first, second = (seen(make_loader(), View(method, number)) for number in (0, 1))
    assert all(first[name] != second[name] for name in first)


@pytest.mark.parametrize("other", [{"seed": 1}, {"name": "b"}])
def test_another_seed_or_member_draws_other_changes(
    make_loader: MakeLoader, other: dict[str, object]
) -> None:
    first = seen(make_loader(), View("train", 0))
    second = seen(make_loader(**other), View("train", 0))
    assert all(first[name] != second[name] for name in first)


def test_the_trainings_passes_are_not_the_draws_of_its_epochs(make_loader: MakeLoader) -> None:
    loader = make_loader()
    with loader.dataset.set_split_idx(0):
        trained = torch.cat([batch[0] for batch in loader])
    drawn = seen(loader, View("train", 0))
    assert all(image.numpy().tobytes() not in drawn.values() for image in trained)


def test_after_a_pass_the_loader_shows_its_images_as_before(make_loader: MakeLoader) -> None:
    loader = make_loader()
    before = plain(loader)
    for method in METHODS:
        seen(loader, View(method, 1))
    assert torch.equal(plain(loader), before)


def test_flips_move_pixels_and_change_none(make_loader: MakeLoader) -> None:
    images = torch.rand(2, 3, 4, 4)
    views = tta_views(recipe("flips"))
    assert len(views) == 2
    assert torch.equal(views[0].flip(images), images)
    assert torch.equal(views[1].flip(images), images.flip(-1))
    views = tta_views(recipe("flips", flip_vertical=True))
    changed = [view.flip(images) for view in views]
    assert len({image.contiguous().numpy().tobytes() for image in changed}) == 8
    # Each is a turn by a quarter any number of times, mirrored or not.
    symmetries = [
        torch.rot90(mirrored, turns, (-2, -1))
        for mirrored in (images, images.flip(-1))
        for turns in range(4)
    ]
    assert all(any(torch.equal(image, each) for each in symmetries) for image in changed)


def test_crops_are_the_middle_and_the_corners_also_of_what_sticks_out() -> None:
    views = tta_views(recipe("crops"))
    rows, columns = np.array([16, 30]), np.array([30, 16])
    taken = [np.broadcast_to(view.shares(rows, columns), 2).tolist() for view in views]
    assert taken == [[0.5, 0.5], [0, 0], [1, 0], [0, 1], [1, 1]]
    # Brightness that grows to the right and, four times as much, downwards.
    along = torch.linspace(-1, 1, 3 * SIZE)
    image = (along + 4 * along[:, None]).mul(25).add(127.5).expand(1, 3, -1, -1).round()
    augmentation = Augmentation(recipe("crops"))
    crops = [augmentation.unchanged(image.to(torch.uint8), view.matrix) for view in views]
    means = [(float(crop.mean()) * 255 - 127.5) / 25 for crop in crops]
    eighth = 1 - 224 / 256
    expected = [0, -5 * eighth, -3 * eighth, 3 * eighth, 5 * eighth]
    assert means == pytest.approx(expected, abs=0.02)
    largest = (float(crops[0].max()) * 255 - 127.5) / 25
    assert largest == pytest.approx(5 * 224 / 256, abs=0.05)


def test_nothing_asked_for_is_no_pass() -> None:
    assert tta_views(recipe("none")) == []
    assert len(tta_views(recipe("train", times=3))) == 3


class Mean(nn.Module):
    """Logits from the mean of the upper left quarter; it notes that it was asked."""

    def forward(self, images: Tensor) -> Tensor:
        quarter = images[:, :, : SIZE // 2, : SIZE // 2].mean((2, 3))
        return quarter[:, :2] * 5


def test_the_mean_is_over_the_passes_predictions(make_loader: MakeLoader) -> None:
    loader, classes = make_loader(recipe("flips")), ["rust", "healthy"]
    views = tta_views(recipe("flips"))
    alone = [predict(Mean(), loader, classes, [view])[classes].to_numpy() for view in views]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    arithmetic = predict(Mean(), loader, classes, views)
    np.testing.assert_allclose(arithmetic[classes], (alone[0] + alone[1]) / 2, rtol=1e-6)
    geometric = predict(Mean(), loader, classes, views, "geometric")
    product = np.sqrt(alone[0] * alone[1])
    expected = product / product.sum(1, keepdims=True)
    np.testing.assert_allclose(geometric[classes], expected, rtol=1e-6)
    assert geometric[classes].to_numpy().dtype == np.float32
    assert geometric["id"].tolist() == loader.ids


def test_without_passes_the_bits_are_those_of_one_plain_look(make_loader: MakeLoader) -> None:
    loader, classes = make_loader(), ["rust", "healthy"]
    expected = torch.cat([Mean()(batch[0]) for batch in loader]).softmax(1).numpy()
    assert np.array_equal(predict(Mean(), loader, classes)[classes].to_numpy(), expected)


def test_one_set_may_be_predicted_before_the_other(make_loader: MakeLoader) -> None:
    classes, views = ["rust", "healthy"], tta_views(recipe("train", times=2))
    valid, test = make_loader(order=range(3)), make_loader(order=range(3, 8))
    first = [predict(Mean(), loader, classes, views) for loader in (valid, test)]
    second = [predict(Mean(), loader, classes, views) for loader in (test, valid)]
    assert first[0].equals(second[1])
    assert first[1].equals(second[0])


@pytest.mark.parametrize("method", ["none", *METHODS])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_images_probabilities_depend_on_no_other_image(
    make_loader: MakeLoader, method: str, threads: int
) -> None:
    def predicted(order: Sequence[int]) -> dict[str, bytes]:
        table = predict(network, make_loader(member, order=order, batch=5), classes, views)
        return {row[0]: np.array(row[1:]).tobytes() for row in table.itertuples(index=False)}

    classes, member = ["rust", "healthy"], recipe(method)
    views = tta_views(member)
    features = family_of("resnet18").features("resnet18", 32)
    network = Network(
        family_of("resnet18").build("resnet18", 32), build_head(features, 2, 0.5), "fp32"
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = predicted(range(8))
        assert len(set(whole.values())) == len(whole)
        assert predicted([6, 3, 7, 0, 2, 5, 4, 1]) == whole
        assert predicted([4]) == {"image4": whole["image4"]}
        assert predicted([1, 4, 7]) == {
            name: whole[name] for name in ("image1", "image4", "image7")
        }
    finally:
        torch.set_num_threads(before)
