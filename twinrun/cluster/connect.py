"""To a Ray cluster: one that runs already, or one of this machine alone."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twinrun.config.extras import how_to_install_extra
from twinrun.console import say
from twinrun.errors import InputError

# Ray gives processes this variable's meaning on every system, whatever its name says: without a
# cluster of several machines, nothing listens on anything but the loopback address.
_SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# Seconds to wait for a cluster's head; Ray itself would try for minutes.
_PATIENCE = 10.0


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Be a driver of a Ray cluster while the block runs.

    Args:
        address: `auto`, or the head's HOST:PORT; this process must run on one of the nodes. Empty:
            Ray is started on this machine alone, with its cores and GPUs, and ended with the block.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    _refuse_unreachable(address)
    if not address or _is_loopback(address.rpartition(":")[0]):
        os.environ.setdefault(_SEVERAL_MACHINES, "0")
    # Nothing is reported to Ray's makers; and no warning of what a later version will do.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise InputError(
            "--ray needs Ray, which is not installed", fix=how_to_install_extra("cluster")
        ) from None

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if not address:
        say(("ray", "bold"), "       starting on this machine")
        options["include_dashboard"] = False
    # Ray puts handlers of its own in the place of those that end a command in order.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address or "local", **options)
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"cannot connect to the Ray cluster {address or 'of this machine'}: "
            f"{' '.join(str(error).split())}",
            fix="Every node needs the same versions of Ray and Python as this one, and this "
            "command must run on one of the nodes; with a token (RAY_AUTH_MODE) the same one.",
        ) from error
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _refuse_unreachable(address: str) -> None:
    if address in ("", "auto"):
        return
    host, _, port = address.rpartition(":")
    # With a login in front of it a host would be looked up by a name that holds the password.
    if "://" in address or "@" in address or not host or not port.isdecimal():
        raise InputError(
            f"--ray {address}: not the address of a Ray cluster",
            fix="Run the command on one of its nodes, with --ray auto or --ray HOST:PORT, as "
            "`ray start --head` has printed it. Ray takes no login in an address; a token "
            "stands in RAY_AUTH_TOKEN.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster answers at {address}: {error}",
            fix="Start its head with `ray start --head`, and take the address that it prints.",
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
