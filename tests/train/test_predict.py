"""Predictions: a row's bits depend on its image alone, whatever stands beside it in the batch."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from twinrun.networks.table import FAMILIES, family_of
from twinrun.repro.environment import set_up
from twinrun.repro.ranks import ALONE, Ranks
from twinrun.train.network import Network, build_head
from twinrun.train.predict import logits_of, rows_computed

SIZE = 32
QUICK = ["resnet18", "timm/convnext_atto", "timm/vit_tiny_patch16_224"]
SLOW = [
    "densenet121",
    "resnet50",
    "timm/mobilenetv3_small_050",
    "timm/swin_tiny_patch4_window7_224",
]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    set_up(threads=1, device="cpu")
    yield
    torch.set_num_threads(before)


@functools.cache
def parts(network: str) -> tuple[nn.Module, nn.Module]:
    family = family_of(network)
    features = family.features(network, SIZE)
    torch.manual_seed(0)
    return family.build(network, SIZE), build_head(features, 3, 0.5)


@pytest.mark.parametrize(
    ("precision", "count"),
    [
        ("fp32", 1),
        ("fp32", 2),
        # Where the processor has no bf16, it takes seconds.
        pytest.param("bf16", 1, marks=pytest.mark.slow),
        ("bf16", 2),
    ],
)
@pytest.mark.parametrize(
    "network", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_row_has_the_same_bits_alone_in_any_slot_and_among_others(
    network: str, precision: str, count: int
) -> None:
    model = Network(*parts(network), precision).eval()
    torch.set_num_threads(count)
    images = torch.rand(16, 3, SIZE, SIZE)
    rows = rows_computed(16, ALONE)
    together = logits_of(model, images, rows)
    order = torch.randperm(16)
    assert torch.equal(logits_of(model, images[order], rows), together[order])
    for number in (0, 7, 15):
        alone = logits_of(model, images[number : number + 1], rows)
        assert torch.equal(alone[0], together[number])
    assert torch.equal(logits_of(model, images[5:], rows), together[5:])
    few = rows_computed(5, ALONE)
    five = logits_of(model, images[:5], few)
    assert torch.equal(logits_of(model, images[:5].flip(0), few).flip(0), five)
    assert torch.equal(logits_of(model, images[4:5], few)[0], five[4])


def test_every_family_has_networks_here() -> None:
    named = {family_of(name).name for name in QUICK + SLOW}
    assert named == {family.name for family in FAMILIES}


def test_no_product_of_the_heads_depends_on_the_slot_at_any_size_of_a_batch() -> None:
    torch.set_num_threads(2)
    for channels, outputs in ((1024, 512), (512, 3), (192, 768)):
        layer = nn.Linear(channels, outputs)
        for size in range(1, 70):
            rows = rows_computed(size, ALONE)
            inputs = torch.rand(rows, channels)
            with torch.no_grad():
                assert torch.equal(layer(inputs.flip(0)).flip(0), layer(inputs)), (rows, size)


class Telling(nn.Module):
    """Logits that tell the shape of the batch and how it lies in memory."""

    def forward(self, images: Tensor) -> Tensor:
        last = images.is_contiguous(memory_format=torch.channels_last)
        return images.mean((1, 2, 3))[:, None] * torch.tensor([0.0, len(images), last])


@pytest.mark.parametrize("count", [1, 3, 7, 8])
def test_a_network_is_given_one_shape_however_few_images_are_left(count: int) -> None:
    images = torch.ones(count, 3, 4, 4)
    found = logits_of(Telling(), images, rows_computed(7, ALONE))
    assert found.tolist() == [[0.0, 8.0, 1.0]] * count
    assert torch.equal(images, torch.ones(count, 3, 4, 4))


def test_the_shape_follows_from_the_batch_size_and_who_shares_it() -> None:
    sizes = (1, 5, 8, 9, 64, 65)
    assert [rows_computed(size, ALONE) for size in sizes] == [8, 8, 8, 16, 64, 72]
    assert [rows_computed(size, Ranks(0, 4)) for size in sizes] == [8, 8, 8, 8, 16, 24]


def test_probabilities_of_a_row_depend_on_no_other_row() -> None:
    torch.set_num_threads(2)
    for classes in (2, 3, 10, 37):
        logits = torch.randn(70, classes)
        for table in (logits, logits.double()):
            for back in (torch.softmax, torch.log_softmax):
                whole = back(table, 1)
                for count in (1, 2, 9, 33):
                    assert torch.equal(back(table[:count], 1), whole[:count])
