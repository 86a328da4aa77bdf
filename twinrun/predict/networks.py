"""The networks of a recorded run, with their recorded weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinrun.config.recipe import Member
from twinrun.config.settings import Settings
from twinrun.config.trainings import member_of
from twinrun.errors import InputError
from twinrun.repro.keys import Key
from twinrun.repro.ranks import Ranks
from twinrun.run_folder.documents import refuse_changed_files
from twinrun.run_folder.paths import RunFolder
from twinrun.run_folder.records import read_record

if TYPE_CHECKING:
    import torch
    from torch import nn

_WITHOUT = "Put the recorded file back: without its weights a member predicts nothing."
# So many bytes of weights stay in memory from batch to batch; what is more is read again.
MOST_KEPT = 2 << 30


@dataclass(frozen=True)
class Trained:
    """A training of a run, as far as a prediction needs it.

    Attributes:
        name: `first`, or `first/fold-1`.
        member: The recipe.
        key: (seed, member and fold): names the draws of its test-time augmentation.
        ranks: How its predictions were shared when they were made: that decides a batch's shape.
        weights: Their file.
        digest: Its SHA-256.
        hooks: Of the competitor's own functions that it was made with, the digests by name.
    """

    name: str
    member: Member
    key: Key
    ranks: Ranks
    weights: Path
    digest: str
    hooks: Mapping[str, str]


def find_trained(
    run: Path, settings: Settings, manifest: Mapping[str, Any], names: Sequence[str]
) -> dict[str, list[Trained]]:
    """The trainings of some members of a run, each with weights that are the recorded ones.

    Args:
        run: runs/<run>.
        settings: Of its manifest.
        manifest: Its content.
        names: Of members; of a partial blend, of folds.

    Returns:
        By member its folds in their order; by fold that one.

    Raises:
        InputError: A member is not complete; weights are missing, or not those that were recorded.
    """
    recorded = manifest["content"]["members"]
    found = {}
    for name in names:
        folder = RunFolder(run).training(name).path
        record = read_record(folder) if name in recorded or name != member_of(name) else None
        if record is None:
            raise InputError(
                f"{run} has no complete member {name}, and its blend needs it",
                fix="Train it first (twinrun train), or blend without it.",
            )
        if name in recorded and record["files"] != recorded[name]["files"]:
            raise InputError(
                f"{folder} is not the member that {RunFolder(run).manifest} records", fix=_WITHOUT
            )
        trainings = settings.trainings(name) if name in recorded else [settings.training(name)]
        found[name] = [_trained(run, settings, name, each.name, record) for each in trainings]
    digests = {
        str(each.weights.relative_to(run)): each.digest for own in found.values() for each in own
    }
    refuse_changed_files(run, digests, fix=_WITHOUT)
    return found


def _trained(
    run: Path, settings: Settings, of: str, training: str, record: Mapping[str, Any]
) -> Trained:
    """A training, out of the record of its member, or out of its own."""
    place = RunFolder(run).training(training)
    own = place.weights.relative_to(RunFolder(run).training(of).path).as_posix()
    environment = record["identity"]["environment"]
    environment = record.get("environments", {}).get(training.rpartition("/")[2], environment)
    return Trained(
        name=training,
        member=settings.members[member_of(training)],
        key=Key((settings.run.seed, *settings.training(training).key)),
        ranks=Ranks(count=environment.get("ranks", 1)),
        weights=place.weights,
        digest=record["files"].get(own, ""),
        hooks=record["identity"]["settings"].get("hooks", {}),
    )


class Networks:
    """Networks of trainings: built when they are asked for, and kept while there is room.

    Args:
        trained: All that will be asked for.
        settings: Of the run: classes, and the competitor's own networks.
        device: Where they compute.
        most: Bytes of weights that are kept.
    """

    def __init__(
        self,
        trained: Sequence[Trained],
        settings: Settings,
        device: torch.device,
        most: int = MOST_KEPT,
    ) -> None:
        self.settings, self.device = settings, device
        self._room = most
        self._kept: dict[str, nn.Module] = {}
        self.all_kept = sum(each.weights.stat().st_size for each in trained) <= most

    def of(self, trained: Trained) -> nn.Module:
        """A training's network, ready to predict.

        Raises:
            InputError: The weights are foreign, or of a different network.
        """
        if trained.name in self._kept:
            return self._kept[trained.name]
        network, size = self._built(trained), trained.weights.stat().st_size
        if size <= self._room:
            self._kept[trained.name] = network
            self._room -= size
        return network

    def _built(self, trained: Trained) -> nn.Module:
        from twinrun.networks.table import family_of
        from twinrun.train.network import Body, Network, build_head, load_weights
        from twinrun.train.own_network import OwnNetwork

        member = trained.member
        own = OwnNetwork(self.settings, member, trained.name)
        body = own.backbone()
        if body is None:
            family = family_of(member.network)
            features = family.features(member.network, member.image_size)
            body = Body(family.build(member.network, member.image_size), features, [])
        head = own.head(body.module, body.features, len(self.settings.classes))
        if head is None:
            head = build_head(body.features, len(self.settings.classes), member.dropout)
        network = Network(body.module, head, member.precision)
        load_weights(network, trained.weights)
        return network.eval().to(self.device)
