"""Ranks without the seconds of their imports: a process that has imported everything forks them.

Everything listens on 127.0.0.1 only. The table in which the ranks find each other, which torchrun
would keep, is kept by that process: torch's own server listens on every address of the machine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.asked import Asked, send_output_to
from twinrun.process import process_variables


@dataclass(frozen=True)
class Interruption:
    """A signal that comes when a file is there.

    Attributes:
        pattern: Of the file, below the working folder.
        number: The signal.
        ranks: Who gets it.
    """

    pattern: str
    number: int
    ranks: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class Ended:
    """How the ranks ended.

    Attributes:
        codes: Exit codes, of each rank.
        output: What they printed, of each rank.
    """

    codes: list[int]
    output: list[str]

    @property
    def said(self) -> str:
        """All that was printed."""
        return "".join(self.output)


class Forked(Asked):
    """The process that forks them.

    Args:
        folder: In which all ranks work.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = {"COLUMNS": "120", "GLOO_SOCKET_IFNAME": "lo", "TORCH_CPP_LOG_LEVEL": "ERROR"}
        super().__init__("tests.cluster.forking", process_variables() | own)

    def run(
        self, *arguments: object, ranks: int = 2, interruption: Interruption | None = None
    ) -> Ended:
        """`competition ARGUMENTS` in so many ranks; one is a process without any."""
        request = {
            "arguments": list(map(str, arguments)),
            "folder": str(self.folder),
            "ranks": ranks,
            "interruption": asdict(interruption) if interruption else None,
        }
        return Ended(**self.ask(request))


def serve() -> None:
    import accelerate  # noqa: F401
    import fastai.distributed  # noqa: F401
    from torch._C._distributed_c10d import TCPStore

    import twinrun.cli.app
    import twinrun.submit
    import twinrun.train.members
    import twinrun.train_run  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        # Kept until the ranks have ended.
        table = TCPStore(
            "127.0.0.1",
            port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )
        files = [Path(request["folder"]) / f"output-{rank}" for rank in range(request["ranks"])]
        children = []
        for rank, file in enumerate(files):
            child = os.fork()
            if child == 0:
                _live(request, rank, port, file)
            children.append(child)
        codes = _wait(children, request)
        del table
        output = [file.read_text(encoding="utf-8") for file in files]
        print(json.dumps({"codes": codes, "output": output}), flush=True)


def _live(request: dict[str, Any], rank: int, port: int, file: Path) -> None:
    """The forked process: never returns."""
    code: Any = 1
    try:
        send_output_to(file)
        os.chdir(request["folder"])
        if request["ranks"] > 1:
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(request["ranks"]),
                "LOCAL_WORLD_SIZE": str(request["ranks"]),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
                "TORCHELASTIC_RESTART_COUNT": "0",
            }
        sys.argv[1:] = request["arguments"]
        from twinrun.__main__ import main

        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(children: Sequence[int], request: dict[str, Any]) -> list[int]:
    """Wait for all, as torchrun does: when one has failed, the others get SIGTERM, then SIGKILL."""
    wanted, end = request["interruption"], None
    codes: dict[int, int] = {}
    while len(codes) < len(children):
        if wanted and list(Path(request["folder"]).glob(wanted["pattern"])):
            for rank in wanted["ranks"]:
                os.kill(children[rank], wanted["number"])
            wanted = None
        for child in set(children) - set(codes):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                codes[child] = os.waitstatus_to_exitcode(status)
        if end is None and any(codes.values()):
            end = time.monotonic() + 30
            _send(set(children) - set(codes), signal.SIGTERM)
        if end is not None and time.monotonic() > end:
            _send(set(children) - set(codes), signal.SIGKILL)
        time.sleep(0.005)
    return [codes[child] for child in children]


def _send(children: set[int], number: int) -> None:
    for child in children:
        os.kill(child, number)


if __name__ == "__main__":
    serve()
