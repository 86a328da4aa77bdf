"""What a training needs of a node, and what nodes must agree on; without any node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twinrun.cluster.nodes import Needs, Node, agreed_environment
from twinrun.config.reading import read_settings
from twinrun.errors import InputError


def node(name: str, code: str = "c", **decides: Any) -> Node:
    found = {"device": "cpu", "threads": 2, **decides}
    return Node(name, name, {"decides": found, "beside": {"code": code, "cores": len(name)}})


@pytest.fixture
def resources(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    found: dict[str, float] = {"CPU": 8}
    monkeypatch.setattr("ray.cluster_resources", lambda: found)
    return found


def test_a_training_takes_what_the_settings_say(
    small_toml: Path, resources: dict[str, float]
) -> None:
    def needs(*changes: str) -> Needs:
        return Needs.of(read_settings(small_toml, changes=changes))

    assert needs() == Needs(1, 0, None)
    assert needs("run.threads=4").num_cpus == 4
    assert needs("cluster.num_cpus=0.5", "cluster.memory=1.5") == Needs(0.5, 0, 1_500_000_000)
    resources["GPU"] = 2
    # The small settings train on the CPU.
    assert needs().num_gpus == 0
    assert needs("run.device=auto").num_gpus == 1
    assert needs("run.device=auto", "cluster.num_gpus=0").num_gpus == 0
    assert str(needs("cluster.num_gpus=2", "cluster.memory=8")) == "1 core, 2 GPU, 8 GB"


def test_a_node_must_be_large_enough() -> None:
    needs = Needs(2, 1, 4_000_000_000)
    large = {"CPU": 2.0, "GPU": 1.0, "memory": 4e9}
    assert needs.fit(large)
    for name, amount in large.items():
        assert not needs.fit({**large, name: amount / 2})
        assert not needs.fit({other: large[other] for other in large if other != name})


def test_processes_on_nodes_start_as_those_of_commands_do() -> None:
    variables = Needs(1, 0, None).options()["runtime_env"]["env_vars"]
    assert variables["PYTHONHASHSEED"] == "0"
    assert variables["MALLOC_MMAP_MAX_"] == "0"


def test_nodes_agree_whatever_their_cores_are() -> None:
    nodes = [node("one"), node("another")]
    assert agreed_environment(nodes, mixed=False) == nodes[0].environment


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (node("odd", threads=4), "odd: threads is 4, not 2"),
        (node("odd", code="d"), "odd: code is 'd', not 'c'"),
        (node("odd", packages={"torch": "2"}), "odd: packages.torch is '2', not None"),
    ],
)
def test_a_node_that_differs_from_most_is_named(
    other: Node, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for nodes in ([other, node("a"), node("b")], [node("a"), other]):
        with pytest.raises(InputError) as refused:
            agreed_environment(nodes, mixed=False)
        assert refused.value.details == (told,)
        assert "from a in" in refused.value.what
        assert agreed_environment(nodes, mixed=True) == node("a").environment
        assert told in capsys.readouterr().out
