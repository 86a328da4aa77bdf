"""What the pretrained weights of all families share: where they lie, and how to do without."""

from __future__ import annotations

from pathlib import Path

import torch

WITHOUT_WEIGHTS = "or train without them: set pretrained = false (--set recipe.pretrained=false)."


def weights_folder() -> Path:
    """torch's folder of weights on this machine (below TORCH_HOME)."""
    return Path(torch.hub.get_dir()) / "checkpoints"
