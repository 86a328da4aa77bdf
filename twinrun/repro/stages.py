"""The stages of a training that the ledger has digests of: one table, see `Stage`.

Two ledgers are compared in this order. A new stage is one entry; whoever notes it calls
`Recorder.note` with its name.
"""

from __future__ import annotations

from twinrun.registry import Registry
from twinrun.repro import stage_advice
from twinrun.repro.stage import Stage
from twinrun.repro.stage_advice import advice
from twinrun.repro.told import tell_number, tell_split

STAGES: Registry[Stage] = Registry("stage of a ledger", Stage)


def stages_in_order() -> list[Stage]:
    """All stages in the order in which a training passes them."""
    return sorted(STAGES, key=lambda stage: stage.order)


# Not a result of the training: a difference here is reported beside the first one elsewhere.
ENVIRONMENT = STAGES.add(
    Stage(
        name="environment",
        order=100,
        noted=("once",),
        from_level="epoch",
        digest_of="each value that decides bits: versions, threads, device, instruction sets, "
        "precision",
        words="what decides bits besides settings and data",
        per_rank=False,
        replayed=False,
        explain=stage_advice.explain_environment,
    )
)
STAGES.add(
    Stage(
        name="files",
        order=200,
        noted=("once",),
        from_level="epoch",
        digest_of="ids with the SHA-256 of the files",
        words="the image files",
        per_rank=False,
        replayed=False,
        explain=advice(
            "An image file was changed, added or taken away between the two runs.",
            "bring both data folders to the same files, and train again",
        ),
        index_column="sha256",
        settings=r"data\.",
        environment=False,
    )
)
STAGES.add(
    Stage(
        name="split",
        order=300,
        noted=("once",),
        from_level="epoch",
        digest_of="the order of the classes; of each training image its part and its label's "
        "number",
        words="which images are trained on and which held out, and their labels",
        per_rank=False,
        replayed=False,
        explain=stage_advice.explain_split,
        tells=tell_split,
        settings=r"data\.|run\.seed$|competition\.classes$|members\.[^.]+\.(name|validation)\b|fold$",
        environment=False,
    )
)
STAGES.add(
    Stage(
        name="pixels",
        order=400,
        noted=("once",),
        from_level="epoch",
        digest_of="ids with the digests of the cached pixels",
        words="the decoded images",
        per_rank=False,
        replayed=False,
        explain=advice(
            "The same files were decoded to different pixels: a different version of Pillow or of "
            "its JPEG library, or a different way of decoding.",
            "install requirements.lock on both sides, and train again",
        ),
        settings=r"data\.range$",
        index_column="pixels",
    )
)
STAGES.add(
    Stage(
        name="init",
        order=500,
        noted=("once",),
        from_level="epoch",
        digest_of="each parameter and buffer before the first step",
        words="the weights before the first step",
        per_rank=False,
        replayed=True,
        explain=stage_advice.explain_init,
    )
)
STAGES.add(
    Stage(
        name="order",
        order=600,
        noted=("step",),
        from_level="step",
        digest_of="the ids that were delivered; they travel with the images through the loader",
        words="which images come, and in which order",
        per_rank=False,
        replayed=True,
        explain=stage_advice.explain_order,
    )
)
STAGES.add(
    Stage(
        name="item",
        order=700,
        noted=("step",),
        from_level="step",
        digest_of="the crops (uint8) and labels before the batch transforms",
        words="the images and labels as the loader gives them",
        per_rank=True,
        replayed=True,
        explain=stage_advice.explain_item,
    )
)
STAGES.add(
    Stage(
        name="batch",
        order=800,
        noted=("step",),
        from_level="step",
        digest_of="inputs and targets as they reach the learner",
        words="the images of the batch",
        per_rank=True,
        replayed=True,
        explain=stage_advice.explain_batch,
    )
)
STAGES.add(
    Stage(
        name="mix",
        order=900,
        noted=("step",),
        from_level="step",
        digest_of="the same after all callbacks of `before_batch`, just before the forward pass",
        words="the batch as MixUp, CutMix and other callbacks leave it",
        per_rank=True,
        replayed=True,
        explain=advice(
            "The batches were equal: the shares or partners of MixUp or CutMix were not drawn from "
            "the key, or a different callback changes the batch.",
            "draw with torch's global generator in such callbacks: it is set from the key before",
        ),
    )
)
STAGES.add(
    Stage(
        name="forward",
        order=1000,
        noted=("step",),
        from_level="step",
        digest_of="the logits",
        words="the logits that the network gives",
        per_rank=True,
        replayed=True,
        explain=stage_advice.explain_forward,
    )
)
STAGES.add(
    Stage(
        name="loss",
        order=1100,
        noted=("step",),
        from_level="step",
        digest_of="the loss",
        words="the loss",
        per_rank=True,
        replayed=True,
        explain=advice(
            "Logits and targets were equal: the loss draws, has different weights, or a callback "
            "changes it.",
            "look at the loss function and at the callbacks that run after the forward pass",
        ),
    )
)
STAGES.add(
    Stage(
        name="gradient",
        order=1200,
        noted=("step",),
        from_level="step",
        digest_of="all gradients as the optimizer gets them",
        words="the gradients",
        per_rank=False,
        replayed=True,
        explain=stage_advice.explain_gradient,
    )
)
OPTIMIZER = STAGES.add(
    Stage(
        name="optimizer",
        order=1250,
        noted=("step",),
        from_level="step",
        digest_of="no digests but numbers: learning rate, weight decay, momentum and the others "
        "that the step is taken with; of each group of layers, where these differ",
        words="the numbers that the optimizer takes the step with",
        per_rank=False,
        replayed=False,
        explain=stage_advice.explain_optimizer,
        tells=tell_number,
    )
)
STAGES.add(
    Stage(
        name="update",
        order=1300,
        noted=("step",),
        from_level="epoch",
        digest_of="all parameters and buffers after the step",
        words="the weights after the step",
        per_rank=False,
        replayed=True,
        explain=stage_advice.explain_update,
    )
)
STAGES.add(
    Stage(
        name="average",
        order=1350,
        noted=("epoch", "end"),
        from_level="epoch",
        digest_of="the average of the weights, where the recipe asks for it; at the end with batch "
        "norms that were estimated anew, as weights.safetensors has it",
        words="the average of the weights",
        per_rank=False,
        replayed=False,
        explain=stage_advice.explain_average,
    )
)
STAGES.add(
    Stage(
        name="prediction",
        order=1400,
        noted=("epoch", "end"),
        from_level="epoch",
        digest_of="the validation's logits; the probabilities of valid.csv and test.csv",
        words="the predictions",
        per_rank=False,
        replayed=True,
        explain=stage_advice.explain_prediction,
        settings="(?!data\\.)",
    )
)
