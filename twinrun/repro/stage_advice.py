"""What a first difference most likely comes from, where that depends on what it names.

All stages before the first difference are equal, which leaves few causes for each. Where they come
from: docs/where-randomness-comes-in.md.
"""

from __future__ import annotations

from collections.abc import Callable

from twinrun.repro.stage import Advice, StageDifference

# Networks are a body and a head, in this order.
_BODY, _HEAD = "0.", "1."
_BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")
_RESUMED = "look at what a checkpoint holds and restores (twinrun/train/resume.py)"


def advice(cause: str, next_: str) -> Callable[[StageDifference], Advice]:
    """An explanation that is the same whatever the difference names."""
    return lambda _: Advice(cause, next_)


def explain_environment(difference: StageDifference) -> Advice:
    """Of stage "environment"."""
    return Advice(
        f"The two were trained in different environments ({', '.join(difference.names)}), for "
        "which equal bits are not promised.",
        "train one of them again in the other's environment: requirements.lock, run.threads, "
        "the same kind of machine",
    )


def explain_split(difference: StageDifference) -> Advice:
    """Of stage "split"."""
    if "classes" in difference.names:
        return Advice(
            "The classes have different numbers: their list has a different order, as one has that "
            "was made from a set or from what a disk lists.",
            "take the classes from competition.classes, in their order",
        )
    if difference.only_first or difference.only_second:
        return Advice(
            "The two do not train and validate with the same images.",
            "bring both data folders to the same files, and train again",
        )
    return Advice(
        "The same images, but some are held out in one run and trained on in the other, or have "
        "a different label: a split drawn without the seed or from positions in place of ids, "
        "different groups of duplicates, or a table of labels that changed.",
        "compare labels and groups; draw the split from the seed and the ids "
        "(twinrun/data/splits.py, twinrun/data/folds.py)",
    )


def explain_init(difference: StageDifference) -> Advice:
    """Of stage "init"."""
    if difference.only_first or difference.only_second:
        return Advice("The networks have different layers.", "build the same network in both runs")
    parts = {name[:2] for name in difference.names}
    if parts == {_BODY}:
        return Advice(
            "The body began with different weights, the head did not: different pretrained "
            "weights.",
            "fetch the pretrained weights again, the same file for both runs",
        )
    if parts == {_HEAD}:
        return Advice(
            "The head began with different weights, the body did not: it was drawn without the "
            "seed.",
            "set the generators from the key before the head is made (twinrun/train/learner.py)",
        )
    return Advice(
        "Body and head began with different weights: both were drawn without the seed.",
        "set the generators from the key before the network is made (twinrun/train/learner.py)",
    )


def explain_order(difference: StageDifference) -> Advice:
    """Of stage "order"."""
    if difference.step > 1:
        return Advice(
            "The epoch began with the same images and continued with different ones: a resume that "
            "forgot the data order, or batches that were delivered out of turn.",
            _RESUMED,
        )
    return Advice(
        "The epoch's order of images was not drawn from the key, or a resume forgot it.",
        "draw the order from the key and the epoch (twinrun/data/keyed_loader.py)",
    )


def explain_forward(difference: StageDifference) -> Advice:
    """Of stage "forward"."""
    first = difference.names[0] if difference.names else ""
    if "Dropout" in first:
        return Advice(
            f"{first}: its input was equal and it dropped different values. Something drew a "
            "random number before it, or it has a generator of its own.",
            "let nothing draw from torch's global generator between the key and this module",
        )
    if first:
        return Advice(
            f"{first}: all before it was equal. It reads memory that nothing was written to, runs "
            "a kernel that is not deterministic, or draws.",
            "look at what this module draws and which memory it reads",
        )
    return Advice(
        "Inputs and weights were equal: dropout or a different module that draws, a read of memory "
        "that nothing was written to, or a kernel that is not deterministic.",
        "",
    )


def explain_update(difference: StageDifference) -> Advice:
    """Of stage "update"."""
    if difference.names and all(name.endswith(_BUFFERS) for name in difference.names):
        return Advice(
            "Only the running statistics of normalisation differ: a batch went through the network "
            "in training mode beside the step.",
            "let nothing else run the network in training mode",
        )
    return Advice(
        "The gradients were equal: the optimizer had different averages (a resume without its "
        "state), a different learning rate or weight decay, or something else changes weights.",
        _RESUMED,
    )


def explain_prediction(difference: StageDifference) -> Advice:
    """Of stage "prediction"."""
    again = "twinrun verify {first} --predict-only"
    if difference.only_first or difference.only_second:
        return Advice(
            "One of the two ends its training here and the other does not, or they predict "
            "different images: a different number of epochs, or different data.",
            again,
        )
    where = ""
    if set(difference.names) == {"test.csv"}:
        where = " and so were the predictions of the validation images"
    return Advice(
        f"The weights were equal{where}: a different batch size in prediction, or test-time "
        "augmentation that is not drawn from the key.",
        again,
    )
