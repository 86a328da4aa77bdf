"""What a difference most likely comes from, in plain words, and what to do next.

All stages before the first difference are equal, which leaves few causes for each. Where they come
from: docs/where-randomness-comes-in.md.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twinrun.compare.first_difference import Difference, LedgerComparison
from twinrun.repro.ledger import STAGES

# Networks are a body and a head, in this order.
_BODY, _HEAD = "0.", "1."
_BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")
_STEP_STAGES = STAGES[STAGES.index("order") : STAGES.index("prediction")]

# (cause, what to do once it is known which image, module or parameter it is)
_PLAIN = {
    "files": (
        "An image file was changed, added or taken away between the two runs.",
        "bring both data folders to the same files, and train again",
    ),
    "pixels": (
        "The same files were decoded to other pixels: another version of Pillow or of its JPEG "
        "library, or another way of decoding.",
        "install requirements.lock on both sides, and train again",
    ),
    "item": (
        "The same images in the same order came out of the loader with other pixels or labels: an "
        "item transform draws from a generator that the key does not set (os.urandom, one of its "
        "own), or reads the time or the process id.",
        "draw with Python's random, numpy's or torch's global generator in item transforms: they "
        "are set from the key before",
    ),
    "batch": (
        "The images came out of the loader equal: a batch transform draws from a generator of its "
        "own, or something flipped, permuted or changed the batch.",
        "draw with the global generators in batch transforms: they are set from the key before",
    ),
    "mix": (
        "The batches were equal: the shares or partners of MixUp or CutMix were not drawn from the "
        "key, or another callback changes the batch.",
        "draw with torch's global generator in such callbacks: it is set from the key before",
    ),
    "loss": (
        "Predictions and targets were equal: the loss draws, has other weights, or a callback "
        "changes it.",
        "look at the loss function and at the callbacks that run after the forward pass",
    ),
    "gradient": (
        "The forward pass and the loss were equal: the backward pass added up in another order "
        "(other threads, an atomic operation of a GPU), or something changes gradients after it.",
        "look at how the first of these parameters is used, and at the callbacks that run after "
        "the backward pass",
    ),
}
_RESUMED = "look at what a checkpoint holds and puts back (training/resuming.py)"


@dataclass(frozen=True)
class Advice:
    """The likeliest cause in a sentence or two, and the next thing to do: a command or words."""

    cause: str
    next: str


def advise(
    comparison: LedgerComparison,
    runs: Sequence[Path],
    *,
    settings: Sequence[str] = (),
    environment: Sequence[str] = (),
) -> Advice:
    """Say what the first difference most likely comes from, and what to do next.

    Args:
        comparison: With a difference.
        runs: Both, as the user named them.
        settings: Names of the member's settings that differ.
        environment: Names of what differs in the environment.

    Raises:
        ValueError: There is no difference.
    """
    difference = comparison.result or comparison.environment
    if difference is None:
        raise ValueError("no difference to explain")
    if settings:
        return Advice(
            f"The two were trained with other settings ({', '.join(settings)}): reason enough.",
            "train both with the same settings",
        )
    if comparison.environment:
        names = ", ".join(environment or comparison.environment.names)
        return Advice(
            f"The two were trained in other environments ({names}), for which equal bits are not "
            "promised.",
            "train one of them again in the other's environment: requirements.lock, run.threads, "
            "the same kind of machine",
        )
    if difference.only is not None:
        return Advice(
            f"Only {'AB'[difference.only]} has this stage at this step: the two count steps "
            "differently, or were recorded by other versions of Twinrun.",
            "train both with the same version, and compare again",
        )
    cause, repair = _finer(difference)
    both = shlex.join(str(run) for run in runs)
    if difference.stage == "update" and comparison.level == "epoch":
        return Advice(
            "Some step of this epoch was different; ledgers of level 'epoch' do not say more.",
            f"train both again with --set run.ledger=step, then twinrun diff {both}",
        )
    if difference.stage in _STEP_STAGES and not difference.names:
        repair = f"twinrun diff {both} --replay"
    if difference.stage == "prediction":
        repair = f"twinrun verify {shlex.quote(str(runs[0]))} --predict-only"
    return Advice(cause, repair)


def _finer(difference: Difference) -> tuple[str, str]:
    """(cause, what to do) by the stage and by what it names."""
    finer = {
        "split": _split,
        "init": _init,
        "order": _order,
        "forward": _forward,
        "update": _update,
        "prediction": _prediction,
    }
    known = finer.get(difference.stage)
    return known(difference) if known else _PLAIN[difference.stage]


def _split(difference: Difference) -> tuple[str, str]:
    if "classes" in difference.names:
        return (
            "The classes have other numbers: their list has another order, as one has that was "
            "made from a set or from what a disk lists.",
            "take the classes from competition.classes, in their order",
        )
    if difference.only_first or difference.only_second:
        return (
            "The two do not train and validate with the same images.",
            "bring both data folders to the same files, and train again",
        )
    return (
        "The same images, but some are held out in one run and trained on in the other, or have "
        "another label: a split drawn without the seed or from positions in place of ids, other "
        "groups of duplicates, or a table of labels that changed.",
        "compare labels and groups; draw the split from the seed and the ids (data/splits.py, "
        "data/folds.py)",
    )


def _init(difference: Difference) -> tuple[str, str]:
    if difference.only_first or difference.only_second:
        return "The networks have other layers.", "build the same network in both runs"
    parts = {name[:2] for name in difference.names}
    if parts == {_BODY}:
        return (
            "The body began with other weights, the head did not: other pretrained weights.",
            "fetch the pretrained weights again, the same file for both runs",
        )
    if parts == {_HEAD}:
        return (
            "The head began with other weights, the body did not: it was drawn without the seed.",
            "set the generators from the key before the head is made (training/recipes.py)",
        )
    return (
        "Body and head began with other weights: both were drawn without the seed.",
        "set the generators from the key before the network is made (training/recipes.py)",
    )


def _order(difference: Difference) -> tuple[str, str]:
    if difference.step > 1:
        return (
            "The epoch began with the same images and went on with others: a resume that forgot "
            "the data order, or batches that were delivered out of turn.",
            _RESUMED,
        )
    return (
        "The epoch's order of images was not drawn from the key, or a resume forgot it.",
        "draw the order from the key and the epoch (data/loading.py)",
    )


def _forward(difference: Difference) -> tuple[str, str]:
    first = difference.names[0] if difference.names else ""
    if "Dropout" in first:
        return (
            f"{first}: its input was equal and it dropped other values. Something drew a random "
            "number before it, or it has a generator of its own.",
            "let nothing draw from torch's global generator between the key and this module",
        )
    if first:
        return (
            f"{first}: all before it was equal. It reads memory that nothing was written to, runs "
            "a kernel that is not deterministic, or draws.",
            "look at what this module draws and which memory it reads",
        )
    return (
        "Inputs and weights were equal: dropout or another module that draws, a read of memory "
        "that nothing was written to, or a kernel that is not deterministic.",
        "",
    )


def _update(difference: Difference) -> tuple[str, str]:
    if difference.names and all(name.endswith(_BUFFERS) for name in difference.names):
        return (
            "Only the running statistics of normalisation differ: a batch went through the network "
            "in training mode beside the step.",
            "let nothing else run the network in training mode",
        )
    return (
        "The gradients were equal: the optimizer had other averages (a resume without its state), "
        "another learning rate or weight decay, or something else changes weights.",
        _RESUMED,
    )


def _prediction(difference: Difference) -> tuple[str, str]:
    if difference.only_first or difference.only_second:
        return (
            "One of the two ends its training here and the other does not, or they predict other "
            "images: another number of epochs, or other data.",
            "",
        )
    where = ""
    if set(difference.names) == {"test.csv"}:
        where = " and so were the predictions of the validation images"
    return (
        f"The weights were equal{where}: another batch size in prediction, or test-time "
        "augmentation that is not drawn from the key.",
        "",
    )
