"""The nodes that can take a training, what each would train it in, and whether that is one thing.

Nothing here decides where a training runs: Ray does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twinrun.cluster.storage import SHARED, Storage
from twinrun.cluster.tasks import describe
from twinrun.config.settings import Settings
from twinrun.console import say
from twinrun.errors import InputError, gaps, shorten
from twinrun.process import process_variables
from twinrun.repro.facts import write_out_environment

# A node that has not answered by then is busy, or its packages load slowly; seconds.
_PATIENCE = 300.0


@dataclass(frozen=True)
class Needs:
    """What a training takes of a node: cores, GPUs, bytes of memory."""

    num_cpus: float
    num_gpus: float
    memory: int | None

    @classmethod
    def of(cls, settings: Settings) -> Needs:
        """As the settings say; where they say nothing of GPUs, one of a cluster that has any."""
        import ray

        asked = settings.cluster
        gpus = asked.num_gpus
        if gpus is None:
            there = settings.run.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0
            gpus = 1.0 if there or settings.run.device == "cuda" else 0.0
        return cls(
            num_cpus=settings.run.threads if asked.num_cpus is None else asked.num_cpus,
            num_gpus=gpus,
            memory=None if asked.memory is None else int(asked.memory * 1e9),
        )

    def options(self) -> dict[str, Any]:
        """For a Ray task."""
        options = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus}
        options |= {} if self.memory is None else {"memory": self.memory}
        return options | {"runtime_env": {"env_vars": process_variables()}, "max_retries": 0}

    def fit(self, resources: Mapping[str, float]) -> bool:
        """Whether a node of so much could take a training when it is idle."""
        asked = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory or 0}
        return all(resources.get(name, 0) >= amount for name, amount in asked.items())

    def __str__(self) -> str:
        parts = [f"{self.num_cpus:g} cores"] if self.num_cpus != 1 else ["1 core"]
        parts += [f"{self.num_gpus:g} GPU"] if self.num_gpus else []
        parts += [f"{self.memory / 1e9:g} GB"] if self.memory else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Node:
    """A node that can take a training.

    Attributes:
        identifier: Ray's.
        name: What it is called in print.
        environment: From `set_up`, there.
    """

    identifier: str
    name: str
    environment: dict[str, Any]


def nodes_for(needs: Needs) -> list[dict[str, Any]]:
    """Ray's description of the nodes that are alive and could take a training."""
    import ray

    return [node for node in ray.nodes() if node["Alive"] and needs.fit(node["Resources"])]


def survey(settings: Settings, needs: Needs, storage: Storage) -> list[Node]:
    """Ask every node that could take a training what it would train in.

    Args:
        settings: Of the run.
        needs: What a training takes.
        storage: What every node must see.

    Returns:
        The nodes that have answered, in Ray's order.

    Raises:
        InputError: No node is large enough, one sees a different storage, or cannot be set up.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    found = nodes_for(needs)
    if not found:
        sizes = [
            f"{node['NodeManagerHostname']}: {node['Resources'].get('CPU', 0):g} cores, "
            f"{node['Resources'].get('GPU', 0):g} GPU, "
            f"{node['Resources'].get('memory', 0) / 1e9:.1f} GB"
            for node in ray.nodes()
            if node["Alive"]
        ]
        raise InputError(
            f"no node can take a training, which needs {needs}:",
            details=shorten(sizes),
            fix="Change [cluster] num_cpus, num_gpus or memory, or run.threads.",
        )
    many = "1 node" if len(found) == 1 else f"{len(found)} nodes"
    say(("cluster", "bold"), f"   asking {many} for what decides bits there")
    token = f"{SHARED}/seen-{uuid.uuid4().hex}"
    with TemporaryDirectory() as folder:
        local = Path(folder) / "seen"
        local.touch()
        storage.publish(local, token)
    # It waits for no core; for a GPU it must, to see one.
    options = needs.options() | {"num_cpus": 0}
    task = ray.remote(describe)
    asked = {
        task.options(
            **options,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(
            settings.run.threads, settings.run.device, settings.code.packages, storage, token
        ): node
        for node in found
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    for reference in late:
        name = asked[reference]["NodeManagerHostname"]
        say(("warning", "yellow"), f"   {name} has not answered; it is checked when it trains")
    storage.remove(token)
    nodes, problems = [], []
    for reference, node in asked.items():
        if reference not in ready:
            continue
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            problems.append(f"{node['NodeManagerHostname']}: {_last_line(error)}")
            continue
        if answer.problem:
            first, *more = answer.problem
            problems += [f"{answer.node}: {first}", *more]
        else:
            nodes.append(Node(node["NodeID"], answer.node, answer.environment))
    if problems:
        raise InputError(
            "nodes of the cluster cannot train:",
            details=shorten(problems),
            fix="Take them out of the cluster, or fix them. What nodes exchange goes to "
            "cluster.storage: a folder that all of them see, or an address such as s3://bucket.",
        )
    if not nodes:
        raise InputError("no node of the cluster has answered")
    return nodes


def agreed_environment(nodes: Sequence[Node], *, mixed: bool) -> dict[str, Any]:
    """The environment that most nodes have; the first of those that are as many.

    Args:
        nodes: From `survey`.
        mixed: Others may be there: they are printed, and train too.

    Returns:
        As `set_up`.

    Raises:
        InputError: Nodes differ, and may not.
    """
    alike: dict[str, list[Node]] = {}
    for node in nodes:
        alike.setdefault(json.dumps(deciding_values(node.environment), sort_keys=True), []).append(
            node
        )
    most = max(alike.values(), key=len)
    agreed = most[0].environment
    lines = [
        line for node in nodes for line in environment_gaps(node.name, agreed, node.environment)
    ]
    if lines and not mixed:
        raise InputError(
            f"nodes differ from {most[0].name} in what decides bits:",
            details=shorten(lines, most=20),
            fix="Make them equal (versions from requirements.lock, the same GPUs, the same code), "
            "take them out, or use --allow-mixed: then other nodes give other bits.",
        )
    for line in lines:
        say(("mixed", "yellow"), f"     {line}")
    return agreed


def deciding_values(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of an environment must be equal: all that decides bits, and the engine's code."""
    decides = write_out_environment(environment["decides"])
    return {**decides, "code": environment["beside"]["code"]}


def environment_gaps(name: str, agreed: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """A line for each value in which a node's environment is different."""
    return [
        f"{name}: {where} is {there!r}, not {here!r}"
        for where, here, there in gaps(deciding_values(agreed), deciding_values(found))
    ]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
