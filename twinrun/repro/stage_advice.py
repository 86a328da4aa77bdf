"""What a first difference most likely comes from, where that depends on what it names.

All stages before the first difference are equal, which leaves few causes for each. Where they come
from: docs/where-randomness-comes-in.md.
"""

from __future__ import annotations

from collections.abc import Callable

from twinrun.errors import shorten
from twinrun.repro.facts import FACTS
from twinrun.repro.stage import FEW_BITS, LAST_BITS, Advice, Known, StageDifference

# Networks are a body and a head, in this order.
_BODY, _HEAD = "0.", "1."
_BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")
_RESUMED = "look at what a checkpoint holds and restores (twinrun/train/resume.py)"


def advice(cause: str, next_: str) -> Callable[[StageDifference, Known], Advice]:
    """An explanation that is the same whatever the difference names."""
    return lambda _, __: Advice(cause, next_)


def _after_resume(known: Known) -> str:
    return " and ".join(known.resumed)


def explain_environment(difference: StageDifference, _: Known) -> Advice:
    """Of stage "environment": what each fact is that differs, and what to do about it."""
    cause = (
        f"The two were trained in different environments ({', '.join(difference.names)}), for "
        "which equal bits are not promised."
    )
    heads = dict.fromkeys(name.partition(".")[0] for name in difference.names)
    facts = [FACTS.get(head) for head in heads if head in FACTS]
    if not facts:
        return Advice(cause, "train one of them again in the other's environment")
    told = shorten((f"{fact.name}: {fact.words}" for fact in facts), most=5)
    mends = dict.fromkeys(fact.mend for fact in facts if fact.mend)
    return Advice(f"{cause} {'; '.join(told)}.", "; ".join(mends))


def explain_split(difference: StageDifference, _: Known) -> Advice:
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
    labels = [told for told in difference.told if told.aspect == "label"]
    if labels:
        one = f"{labels[0].name} has label {labels[0].both}"
        more = f", and {len(labels) - 1:,} more" if len(labels) > 1 else ""
        moved = len({told.name for told in difference.told} - {told.name for told in labels})
        others = (
            f" Of the others {moved:,} changed sides: folds are drawn such that each has as many "
            "of a class."
            if moved
            else ""
        )
        return Advice(
            f"Images have different labels: {one}{more}. A table of labels was changed, or an "
            f"image was moved to the folder of a different class.{others}",
            "bring the labels in both data folders to the same, and train again",
        )
    return Advice(
        "The same images with the same labels, but some are held out in one run and trained on in "
        "the other: a split drawn without the seed or from positions in place of ids, or different "
        "groups of duplicates.",
        "compare the groups of copies in both audit.json; draw the split from the seed and the ids "
        "(twinrun/data/splits.py, twinrun/data/folds.py)",
    )


def explain_init(difference: StageDifference, _: Known) -> Advice:
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


def explain_order(difference: StageDifference, known: Known) -> Advice:
    """Of stage "order"."""
    if known.resumed:
        return Advice(
            f"{_after_resume(known)}: a resume that forgot the data order. Else the order of "
            "images was not drawn from the key, or batches were delivered out of turn.",
            _RESUMED,
        )
    keyed = "draw the order from the key and the epoch (twinrun/data/keyed_loader.py)"
    if difference.step > 1:
        return Advice(
            "The epoch began with the same images and continued with different ones: batches that "
            "were delivered out of turn, or an order that was not drawn from the key.",
            keyed,
        )
    return Advice("The epoch's order of images was not drawn from the key.", keyed)


def explain_item(_: StageDifference, known: Known) -> Advice:
    """Of stage "item"."""
    state = (
        "keeps something from one image to the next (a counter, a cache, an average), which "
        "depends on which process had which images before"
    )
    draws = (
        "draws from a generator that the key does not set (os.urandom, one of its own), or reads "
        "the time or the process id"
    )
    causes = [draws, state]
    where = ""
    if "workers" in known.beside:
        causes, where = [state, draws], "The numbers of workers differ, and "
    elif known.resumed:
        causes, where = [state, draws], f"{_after_resume(known)}, and "
    who = _who(known, "item_transforms", "an item transform")
    return Advice(
        "The same images in the same order came out of the loader with different pixels or labels. "
        f"{where}{who if where else who[0].upper() + who[1:]} {causes[0]}; or it {causes[1]}.",
        "in item transforms draw with Python's random, numpy's or torch's global generator, which "
        "are set from the key before each image, and keep nothing between calls",
    )


def explain_batch(_: StageDifference, known: Known) -> Advice:
    """Of stage "batch"."""
    who = _who(known, "batch_transforms", "a batch transform")
    return Advice(
        f"The images came out of the loader equal: {who} draws from a generator of its own or "
        "keeps something from one batch to the next, or something flipped, permuted or changed "
        "the batch.",
        "draw with the global generators in batch transforms: they are set from the key before; "
        "and keep nothing between calls",
    )


def _who(known: Known, hook: str, otherwise: str) -> str:
    """A competitor's own function, if the trainings were made with it."""
    return f"a function of `{hook}` in hooks.py" if hook in known.hooks else otherwise


def explain_forward(difference: StageDifference, known: Known) -> Advice:
    """Of stage "forward"."""
    threads = "a different number of threads or other kernels were in force, or a different library"
    precision = "a different precision was in force (bfloat16, TF32)"
    memory = "it reads memory that nothing was written to, or its kernel is not deterministic"
    draws = "it draws"
    look = (
        "look for what sets threads, precision or flags of torch after Twinrun has, at what this "
        "module draws, and at which memory it reads"
    )
    first = difference.names[0] if difference.names else ""
    if "Dropout" in first:
        return Advice(
            f"{first}: its input was equal and it dropped different values. Something drew a "
            "random number before it, or it has a generator of its own.",
            "let nothing draw from torch's global generator between the key and this module",
        )
    if first:
        size, causes = "", [draws, memory, threads, precision]
        if known.gap is not None and known.gap <= LAST_BITS:
            size = " Its last bits differ, as those of sums in a different order do."
            causes = [threads, precision, memory]
        elif known.gap is not None and known.gap <= FEW_BITS:
            size = " It differs by as much as rounding to fewer bits makes."
            causes = [precision, draws, memory, threads]
        return Advice(
            f"{first}: all before it was equal.{size} Most likely {'; or '.join(causes)}.", look
        )
    if known.detailed:
        return Advice(
            "Every module gave the same and the logits differ: a callback changes them after the "
            "network.",
            "look at the callbacks that have after_pred",
        )
    return Advice(
        f"Images and weights were equal: dropout or a different module draws; {threads}; "
        f"{precision}; or a module reads memory that nothing was written to, or runs a kernel that "
        "is not deterministic.",
        look,
    )


def explain_gradient(_: StageDifference, known: Known) -> Advice:
    """Of stage "gradient"."""
    order = (
        "the backward pass added up in a different order (a different number of threads or other "
        "kernels in force, an atomic operation of a GPU)"
    )
    changes = "something changes gradients after it, such as a callback that clips or scales them"
    look = (
        "look at how the first of these parameters is used, and at the callbacks that run after "
        "the backward pass"
    )
    if known.gap is None:
        return Advice(f"The logits and the loss were equal: {order}; or {changes}.", look)
    if known.gap <= LAST_BITS:
        return Advice(
            "The logits and the loss were equal, and the gradients differ in their last bits only: "
            f"{order}.",
            look,
        )
    return Advice(
        "The logits and the loss were equal, and the gradients differ by far more than sums in a "
        f"different order do: {changes}; or the backward pass had a different precision.",
        "look at the callbacks that run after the backward pass",
    )


def explain_optimizer(difference: StageDifference, known: Known) -> Advice:
    """Of stage "optimizer"."""
    names = list(dict.fromkeys(name.partition(",")[0] for name in difference.names))
    told = [f" ({each.both})" for each in difference.told[:1]]
    which = f"{' and '.join(names[:3])}{''.join(told) if len(names) == 1 else ''}"
    if known.resumed:
        return Advice(
            f"The gradients were equal, and the step was taken with a different {which}. "
            f"{_after_resume(known)}: a resume without the optimizer's numbers or its place in the "
            "schedule.",
            _RESUMED,
        )
    return Advice(
        f"The gradients were equal, and the step was taken with a different {which}: a callback, a "
        "schedule or an optimizer of your own sets it, and no setting says so.",
        "look at what sets it: make it a part of the code or the settings that both runs share",
    )


def explain_update(difference: StageDifference, known: Known) -> Advice:
    """Of stage "update"."""
    if difference.names and all(name.endswith(_BUFFERS) for name in difference.names):
        return Advice(
            "Only the running statistics of normalisation differ: a batch went through the network "
            "in training mode beside the step.",
            "let nothing else run the network in training mode",
        )
    equal = "The gradients were equal, and so were learning rate, weight decay and momentum."
    changes = "changes weights, such as a callback that averages or clips them"
    if known.resumed:
        return Advice(
            f"{equal} {_after_resume(known)}: a resume without the optimizer's averages. Else "
            f"something {changes}.",
            _RESUMED,
        )
    return Advice(
        f"{equal} Something else {changes}; or the optimizer's own averages were different.",
        "look at the callbacks that run after the step, and at what touches the optimizer's state",
    )


def explain_average(difference: StageDifference, known: Known) -> Advice:
    """Of stage "average"."""
    if "average" not in difference.names:
        return Advice(
            "The averages were equal, and the running statistics of batch norms were estimated of "
            "different images: a transform that is not drawn from the key, or other kernels.",
            "look at the transforms of your own, and compare environments",
        )
    equal = "The weights after the steps were equal, and their average is not."
    if known.resumed:
        return Advice(f"{equal} {_after_resume(known)}: a resume without the average.", _RESUMED)
    return Advice(
        f"{equal} Something changes the average; or it changes weights after the optimizer's step "
        "and puts them back.",
        "look at the callbacks that run after the step",
    )


def explain_prediction(difference: StageDifference, known: Known) -> Advice:
    """Of stage "prediction"."""
    again = "twinrun verify {first} --predict-only"
    if known.causes:
        return known.causes[0]
    if difference.only_first or difference.only_second:
        return Advice(
            "One of the two ends its training here and the other does not, or they predict "
            "different images: a different number of epochs, or different data.",
            again,
        )
    where = ""
    if set(difference.names) == {"test.csv"}:
        where = " and so were the predictions of the validation images"
    batches = (
        "a different batch size, number of threads or precision was in force while they were "
        "predicted"
    )
    draws = "test-time augmentation that is not drawn from the key"
    causes = [batches, draws]
    if known.gap is not None and known.gap > LAST_BITS:
        causes = [f"{draws}, or something that changes images or probabilities", batches]
    return Advice(f"The weights were equal{where}: {'; or '.join(causes)}.", again)
