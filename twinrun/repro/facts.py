"""The table of facts of the environment: what is set before anything is drawn, and written down."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from twinrun.registry import Registry
from twinrun.repro.fact import Fact
from twinrun.repro.machine_facts import cuda_facts, library_facts, machine_facts, processor
from twinrun.repro.torch_facts import torch_facts
from twinrun.repro.versions import versions

# In this order they are set.
FACTS: Registry[Fact] = Registry("fact of the environment", Fact)

FACTS.add(
    Fact(
        name="device",
        words="what the networks are computed on",
        decides=True,
        read=lambda wanted: "cuda" if wanted.cuda else "cpu",
        mend="train both with the same run.device",
    )
)
for _fact in (*torch_facts(), *library_facts(), *machine_facts(), *cuda_facts()):
    FACTS.add(_fact)
FACTS.add(
    Fact(
        name="packages",
        words="versions, as they are imported",
        decides=True,
        read=lambda wanted: versions(wanted.packages),
        changed_by="an import from a different place",
        mend="install requirements.lock for both; of a package that is not imported as it is "
        "installed, look for another copy, in PYTHONPATH or in a package of another name",
    )
)
for _fact in (
    Fact("code", "the engine's source", False, lambda _: _code()),
    Fact("hash_seed", "PYTHONHASHSEED", False, lambda _: _hash_seed()),
    Fact("processor", "the processor's name", False, lambda _: processor()),
    Fact("cores", "cores of the machine", False, lambda _: os.cpu_count()),
    Fact("workers", "loader processes", False, lambda wanted: wanted.workers),
    Fact("platform", "system and its version", False, lambda _: platform.platform()),
):
    FACTS.add(_fact)


def neutral_facts() -> dict[str, Any]:
    """By name the value at which a fact is left out of what decides bits, if it has one."""
    return {fact.name: fact.neutral for fact in FACTS if fact.neutral is not None}


def write_out_environment(decides: Mapping[str, Any]) -> dict[str, Any]:
    """What decides bits with the neutral values that it leaves out, for a reader who compares."""
    return {**neutral_facts(), **decides}


def _code() -> str:
    # Not above: it imports NumPy, and settings and help ask for less.
    from twinrun.repro.source import code_digest

    return code_digest()


def _hash_seed() -> str:
    return os.environ.get("PYTHONHASHSEED", "random")
