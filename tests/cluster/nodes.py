"""A Ray cluster of several nodes on this machine, in a process of its own; told what to do by lines.

`add NAME CORES [VARIABLE=VALUE...]` adds a node, `remove NAME` takes it away as if its machine
had lost its power, `names` answers with the addresses that Ray's processes listen on, and the end
of the input ends it all. Each line is answered by one.
"""

from __future__ import annotations

import os
import sys

# See competition/cluster/connecting.py: nothing may listen on anything but the loopback address.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# A node that is gone is to be missed soon: in milliseconds, and how often.
os.environ["RAY_health_check_initial_delay_ms"] = "1000"
os.environ["RAY_health_check_period_ms"] = "1000"
os.environ["RAY_health_check_failure_threshold"] = "3"

from ray.cluster_utils import Cluster

HERE = {"node_ip_address": "127.0.0.1", "include_dashboard": False}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**HERE, "num_cpus": 0})
    nodes = {}
    print(cluster.address, flush=True)
    for line in sys.stdin:
        what, name, *more = line.split()
        if what == "add":
            cores, *variables = more
            extra = dict(variable.split("=", 1) for variable in variables)
            nodes[name] = cluster.add_node(
                **HERE, node_name=name, num_cpus=int(cores), env_vars=extra or None
            )
        else:
            cluster.remove_node(nodes.pop(name), allow_graceful=False)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
