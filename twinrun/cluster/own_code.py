"""A competitor's own code on a node: it travels with the order, and is compared there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twinrun.config.settings import Settings
from twinrun.errors import InputError
from twinrun.files import sha256_json, whole_file
from twinrun.hooks.in_use import use
from twinrun.hooks.own_code import OwnCode, read_own_code
from twinrun.plain_files import read_bytes


def carry(code: OwnCode) -> dict[str, bytes]:
    """The content of each file of the code, and of each that it names, relative to competition/.

    Raises:
        OSError: One is not there any more.
    """
    return {**code.texts, **{name: read_bytes(code.folder / name) for name in code.files}}


def settle_here(settings: Settings, carried: Mapping[str, bytes], scratch: Path) -> Settings:
    """The settings with the code as it lies on this node from now on, in use in this process.

    Args:
        settings: Of the run, from the driver.
        carried: From `carry`, there.
        scratch: A folder of this node.

    Raises:
        InputError: What it reaches here is not what it reached there, or it cannot be imported.
    """
    if not carried:
        return settings
    name = sha256_json({place: content.hex() for place, content in carried.items()})[:16]
    folder = scratch / f"own-{name}" / settings.code.folder.name
    for place, content in carried.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    code = read_own_code(folder / settings.config.name)
    here = settings.model_copy(update={"code": code})
    wanted, found = settings.hook_digests("training"), here.hook_digests("training")
    different = [each for each in wanted | found if wanted.get(each) != found.get(each)]
    if different:
        raise InputError(
            f"hooks.py is not on this node what it is on the driver: {', '.join(different)}",
            fix="Did a file of it change since the run began? Start the command again.",
        )
    use(code, here.hooks)
    return here
