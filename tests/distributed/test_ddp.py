"""What several ranks change in a learner, as far as one process can see it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from timm.layers import BatchNormAct2d
from torch import nn

from twinrun.data.keyed_loader import KeyedLoader
from twinrun.distributed.ddp import synchronise_batch_norms
from twinrun.repro.keys import Key
from twinrun.repro.ranks import Ranks
from twinrun.train.callbacks import KeyedSteps


def drawn(ranks: Ranks) -> torch.Tensor:
    """What a callback draws in the first step."""
    loader = KeyedLoader.__new__(KeyedLoader)
    loader.ranks = ranks
    steps = KeyedSteps(Key((0, "a")))
    steps.learn = SimpleNamespace(training=True, epoch=0, iter=0, dl=loader)
    steps.key_of_step("step").seed_generators()
    return torch.rand(3)


def test_each_rank_mixes_and_drops_in_its_own_way() -> None:
    assert not torch.equal(drawn(Ranks(0, 2)), drawn(Ranks(1, 2)))
    # Alone as it was before there were ranks.
    Key((0, "a", "step", "train", 0, 0)).seed_generators()
    expected = torch.rand(3)
    assert torch.equal(drawn(Ranks()), expected)


def test_batch_norms_over_all_ranks_stand_in_for_the_time_of_a_fit() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(BatchNormAct2d(4)), nn.Linear(4, 2)
    )
    before, state = list(model.modules()), model.state_dict(keep_vars=True)
    replaced = synchronise_batch_norms(model)
    found = [each for each in model.modules() if isinstance(each, nn.SyncBatchNorm)]
    assert len(found) == len(replaced) == 2
    assert isinstance(found[1].act, nn.ReLU)  # fastai's own conversion would lose it
    after = model.state_dict(keep_vars=True)
    assert after.keys() == state.keys()
    assert all(after[name] is tensor for name, tensor in state.items())
    for parent, name, norm in replaced:
        setattr(parent, name, norm)
    assert all(one is other for one, other in zip(model.modules(), before, strict=True))
