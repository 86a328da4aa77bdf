"""torchrun, but its table of ranks listens on 127.0.0.1 only: torch's listens on every address."""

from __future__ import annotations

import socket
from typing import Any

import torch.distributed
from torch.distributed import run
from torch.distributed.elastic.rendezvous import c10d_rendezvous_backend as backend

_store: Any = torch.distributed.__dict__["TCPStore"]


def on_loopback(host: str, port: int, *arguments: Any, **options: Any) -> Any:
    """torch's TCPStore; one that serves is given its port."""
    if options.get("is_master"):
        listener = socket.create_server(("127.0.0.1", port))
        port = listener.getsockname()[1]
        options["master_listen_fd"] = listener.detach()
    return _store(host, port, *arguments, **options)


if __name__ == "__main__":
    backend.__dict__["TCPStore"] = on_loopback
    run.main()
