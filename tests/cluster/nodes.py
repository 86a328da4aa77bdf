"""A Ray cluster of several nodes on this machine, in a process of its own; it is told lines.

`add NAME CORES [VARIABLE=VALUE...]` adds a node, `remove NAME now` takes it away as if its machine
had lost its power, and the end of the input ends it all. A node may also be called as Twinrun does,
by the beginning of Ray's name for it. The first answer is the address of the head, then `done` for
each line; Ray's own messages stand between.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.update(
    {
        # See twinrun/cluster/connect.py: all listens on the loopback address alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A node that is gone is to be missed soon.
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }
)

from ray.cluster_utils import Cluster

HERE: dict[str, Any] = {"node_ip_address": "127.0.0.1", "include_dashboard": False}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**HERE, "num_cpus": 0})
    nodes = {}
    print(f"address {cluster.address}", flush=True)
    for line in sys.stdin:
        what, name, *more = line.split()
        if what == "add":
            cores, *variables = more
            extra = dict(variable.split("=", 1) for variable in variables)
            nodes[name] = cluster.add_node(
                **HERE, node_name=name, num_cpus=int(cores), env_vars=extra or None
            )
        else:
            [known] = [each for each in nodes if name == each or nodes[each].node_id[:6] == name]
            cluster.remove_node(nodes.pop(known), allow_graceful=False)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
