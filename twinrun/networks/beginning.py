"""Weights of a file that a member begins with: kept by their content beside the pretrained ones."""

from __future__ import annotations

from pathlib import Path

from twinrun.errors import InputError
from twinrun.files import sha256_file, whole_file
from twinrun.networks.table import weights_of
from twinrun.networks.weights import weights_folder
from twinrun.plain_files import open_plain


def kept_file(sha256: str) -> Path:
    """Where on this machine the weights of a content are kept, or would be."""
    return weights_folder() / f"begin-{sha256}.safetensors"


def keep(sha256: str, source: Path | None) -> Path:
    """Have the weights of a content on this machine, whole.

    They stay where they are when their source is gone: to train again, to verify.

    Args:
        sha256: Of the file.
        source: Where the settings say that it lies; None: only its content is known.

    Returns:
        The file that is kept.

    Raises:
        InputError: They are nowhere, or damaged.
    """
    file = kept_file(sha256)
    if not file.exists() and source is not None and source.exists():
        with whole_file(file) as temporary, open_plain(source) as content:
            temporary.write_bytes(content.read())
            if sha256_file(temporary) != sha256:
                raise InputError(
                    f"{source} has been changed since the settings were read",
                    fix="Rerun the command.",
                )
    if not file.exists():
        raise InputError(
            f"the weights that a member begins with are not here: a file of the SHA-256 {sha256}",
            fix=(
                "Who made them has them: a package holds their digest alone.",
                f"Put them at {file}",
            ),
        )
    if (found := sha256_file(file)) != sha256:
        raise InputError(
            f"{file} is damaged, or was exchanged: its SHA-256 is {found}",
            fix="Remove it, and rerun the command.",
        )
    return file


def first_file(network: str, sha256: str | None, *, pretrained: bool) -> Path | None:
    """The file of weights that a member begins with, where it is on this machine, or would be.

    Args:
        network: As the settings name it.
        sha256: Of a file that it begins with; None: with none.
        pretrained: Whether it begins with the family's pretrained weights.
    """
    if sha256 is not None:
        return kept_file(sha256)
    return weights_of(network).file(network) if pretrained else None
