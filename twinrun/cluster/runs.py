"""Runs whose trainings a cluster does: what nodes need is shared, results are put in the runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinrun.cluster.driver import Failure, fetch_complete, train_on_cluster
from twinrun.cluster.nodes import Needs, agreed_environment, survey
from twinrun.cluster.own_code import carry
from twinrun.cluster.share import share_images, share_index
from twinrun.cluster.storage import SHARED, Storage, publish_files
from twinrun.cluster.tasks import NUMBER, Order
from twinrun.config.settings import Settings
from twinrun.console import say
from twinrun.files import is_there
from twinrun.locks import lock_record
from twinrun.networks.beginning import first_file
from twinrun.prepare import Prepared
from twinrun.run_folder.paths import RUN_FILES
from twinrun.run_folder.place import name_nodes
from twinrun.train_run import begin_trainings


@dataclass(frozen=True)
class Site:
    """Where trainings go.

    Attributes:
        needs: What each takes of a node.
        storage: What the nodes share.
        environment: From `set_up`, of the nodes.
        mixed: Nodes with others train as well.
    """

    needs: Needs
    storage: Storage
    environment: dict[str, Any]
    mixed: bool


def open_site(settings: Settings, runs: Path, *, mixed: bool) -> Site:
    """See what the cluster that this process is connected to offers, before any work starts.

    Args:
        settings: Of the run.
        runs: The folder of all runs: the storage, where the settings name no other.
        mixed: Whether nodes may differ in what decides bits.

    Raises:
        InputError: Nodes that differ, are too small, or do not see the storage.
    """
    storage = Storage(settings.cluster.storage or str(runs.absolute()))
    storage.check()
    needs = Needs.of(settings)
    nodes = survey(settings, needs, storage)
    environment = agreed_environment(nodes, mixed=mixed)
    say(("cluster", "bold"), f"   {needs} for each training; files in {storage.address}")
    return Site(needs, storage, environment, mixed)


def train_runs(site: Site, runs: Sequence[Prepared], started: float) -> list[Failure]:
    """Train what is not complete of some runs, all of it at once as far as there are nodes.

    Args:
        site: From `open_site`.
        runs: They differ in their seeds only.
        started: time.perf_counter() at the command's start.

    Returns:
        The trainings that have failed for good.

    Raises:
        InputError: As `begin_trainings` and `train_on_cluster`.
        Stopped: Ctrl-C or SIGTERM came.
    """
    with ExitStack() as stack:
        works = []
        for run in runs:
            trainings = run.settings.select_trainings([])
            fetch_complete(run, trainings, site.storage)
            work = stack.enter_context(begin_trainings(run, trainings, started))
            stack.enter_context(work.hold_left())
            works.append(work)
        for work in works:
            work.print_complete()
        if not any(work.left for work in works):
            return []
        first = runs[0]
        _share_weights(first.settings, site.storage)
        images = share_images(site.storage, first.index, first.pixels)
        index = share_index(site.storage, first.index)
        orders = [
            Order(
                settings=run.settings,
                run=run.folder.name,
                storage=site.storage,
                index=index,
                images=images,
                environment=site.environment,
                mixed=site.mixed,
                own=carry(run.settings.code),
            ).to_bytes()
            for run in runs
        ]
        # Nodes may come meanwhile; and who is stopped later has those that were there.
        _name_nodes(runs)
        failures = train_on_cluster(works, orders, site.needs, site.storage)
        _name_nodes(runs)
        return failures


def _name_nodes(runs: Sequence[Prepared]) -> None:
    """Keep beside the runs, on this machine, which hosts the cluster's nodes are or were."""
    import ray

    nodes = {each["NodeID"][:NUMBER]: str(each["NodeManagerHostname"]) for each in ray.nodes()}
    for run in runs:
        with lock_record(run.folder):
            name_nodes(run.folder, nodes)


def publish_run(site: Site, run: Prepared) -> None:
    """Leave in the storage what was made of the trainings, if that is not the run's own folder."""
    there = [name for name in RUN_FILES if is_there(run.folder / name)]
    publish_files(site.storage, run.folder, there, run.folder.name)


def _share_weights(settings: Settings, storage: Storage) -> None:
    """Publish the weights that members begin with, where they are not there yet."""
    there = storage.names(f"{SHARED}/weights")
    files = {
        first_file(each.network, each.begin.sha256, pretrained=each.pretrained)
        for each in settings.members.values()
    }
    for file in sorted(filter(None, files)):
        if f"{SHARED}/weights/{file.name}" not in there:
            storage.publish(file, f"{SHARED}/weights/{file.name}")
