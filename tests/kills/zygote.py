"""A process that has imported everything once, and forks a process for each run.

`python -m tests.kills.zygote` reads requests from stdin and answers on stdout, a JSON text per
line. It runs no operation of torch itself: threads of torch's own would not survive a fork.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.asked import Asked, send_output_to
from tests.kills.moments import Moment, arm, patch


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: Its exit code; the negative number of a signal that killed it.
        seconds: How long it took.
        output: What it printed.
        pid: Its process id, which is that of its session too.
    """

    code: int
    seconds: float
    output: str
    pid: int

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Zygote(Asked):
    """The parent's side of it."""

    def __init__(self) -> None:
        super().__init__("tests.kills.zygote", {"PYTHONHASHSEED": "0", "COLUMNS": "200"})

    def run(
        self,
        config: Path,
        folder: Path,
        members: Sequence[str],
        *changes: str,
        moment: Moment | None = None,
        seconds: float | None = None,
        lack: str = "",
    ) -> Ended:
        """Train members of a run in a process of its own, as `twinrun train` does.

        Args:
            config: competition.toml.
            folder: runs/<run>.
            members: Their names.
            changes: As --set has them.
            moment: When it is killed.
            seconds: After so many it is killed.
            lack: A function of the engine that does nothing in this run.
        """
        request = {
            "config": str(config),
            "folder": str(folder),
            "members": list(members),
            "changes": list(changes),
            "moment": asdict(moment) if moment else None,
            "lack": lack,
        }
        return self._ask(request, folder, seconds)

    def command(self, words: Sequence[str], folder: Path, seconds: float | None) -> Ended:
        """Carry out a command in a process of its own, as `twinrun WORDS` does.

        Args:
            words: The arguments.
            folder: Beside which its output is kept.
            seconds: After so many it is killed.
        """
        return self._ask({"command": list(words)}, folder, seconds)

    def _ask(self, request: dict[str, Any], folder: Path, seconds: float | None) -> Ended:
        output = f"{folder}.output"
        return Ended(**self.ask({**request, "output": output, "seconds": seconds}))


def serve() -> None:
    # The page's charts; what hashes images; what deals images out to folds.
    import sklearn.model_selection  # noqa: F401

    import twinrun.audit.audit

    # Else every fork would import them, for seconds.
    import twinrun.cli.app
    import twinrun.networks.torchvision_models
    import twinrun.report.report
    import twinrun.submit
    import twinrun.train.members
    import twinrun.train.tracking
    import twinrun.train_run  # noqa: F401

    # Else each fork would look at all of these objects, and so copy them, whenever it collects.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        output = Path(request["output"])
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _live(request, output)
        code = _wait(child, request["seconds"])
        seconds = time.monotonic() - started
        ended = Ended(code, seconds, output.read_text(encoding="utf-8"), child)
        print(json.dumps(asdict(ended)), flush=True)


def _live(request: dict[str, Any], output: Path) -> None:
    """The forked process: never returns."""
    code = 1
    try:
        os.setsid()
        send_output_to(output)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        if "command" in request:
            code = _carry_out(request["command"])
            return
        if request["moment"]:
            arm(Moment(**request["moment"]))
        if request["lack"]:
            patch(request["lack"], lambda _: _nothing)
        _train(request)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _carry_out(words: Sequence[str]) -> int:
    from twinrun.cli.app import app

    return int(app(list(words), standalone_mode=False) or 0)


def _train(request: dict[str, Any]) -> None:
    from twinrun import prepare, train_run
    from twinrun.config.reading import read_settings

    started = time.perf_counter()
    settings = read_settings(Path(request["config"]), changes=request["changes"])
    run = prepare.prepare(settings, Path(request["folder"]))
    train_run.train(run, request["members"], started)


def _nothing(*arguments: Any, **options: Any) -> None:
    pass


def _wait(child: int, seconds: float | None) -> int:
    """Wait for a process, and kill it after so many seconds; its exit code."""
    deadline = time.monotonic() + (600.0 if seconds is None else seconds)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            ended, status = os.waitpid(child, 0)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)


if __name__ == "__main__":
    serve()
