"""All that a GPU is to show, for a machine that is at hand for minutes only.

Before, where there is a network:
    python -m benchmarks.cuda --gather DIR
There, without one; on a CPU it is rehearsed with --rehearse:
    python -m benchmarks.cuda --wheels DIR --minutes 8 --output FILE
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.cuda import beside
from benchmarks.cuda.gather import gather
from benchmarks.cuda.page import write_page
from benchmarks.cuda.parts import PARTS
from benchmarks.cuda.schedule import DONE, Part, Report, run_parts
from benchmarks.cuda.work import REAL, TINY
from twinrun.errors import TwinrunError

ROOT = Path(__file__).parents[2]
# For writing the file and ending what runs, out of --minutes.
_RESERVE_SECONDS = 5.0
# Contestants take turns once, or more often where there is time.
_MINUTES_OF_A_ROUND = 10


def main() -> None:
    """Gather, measure, or write the page."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cuda",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gather", type=Path, metavar="DIR", help="fill DIR with wheels")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="measure, with DIR's wheels")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it; 8")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON, whole after each part")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with tiny sizes")
    parser.add_argument("--part", action="append", metavar="NAME", help="this part; repeatable")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write docs/gpu.md from FILE")
    given = parser.parse_args()
    if sum(each is not None for each in (given.gather, given.wheels, given.page)) != 1:
        parser.error("one of --gather, --wheels and --page")
    if given.wheels is not None and given.output is None:
        parser.error("--wheels needs --output FILE")
    names = [part.name for part in PARTS]
    if unknown := sorted(set(given.part or []) - set(names)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(names)}")
    try:
        if given.gather is not None:
            gather(given.gather, _say)
        elif given.page is not None:
            write_page(given.page)
        else:
            _measure(given, started)
    except TwinrunError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; FILE has the parts that had ended\n")
        sys.exit(2)


def _measure(given: argparse.Namespace, started: float) -> None:
    until = started + given.minutes * 60 - _RESERVE_SECONDS
    with tempfile.TemporaryDirectory(prefix="twinrun-cuda-") as name:
        folder = Path(name)
        hidden = [(name, "FOLDER"), (str(ROOT), "REPOSITORY"), (f"{Path.home()}/", "HOME/")]
        report = Report(
            given.output,
            {
                "rehearsed": given.rehearse,
                "date": time.strftime("%Y-%m-%d"),
                "minutes": {"given": given.minutes, "used": 0.0},
            },
            hidden,
        )
        environment = beside.make(given.wheels.absolute(), folder / "environment")
        for line in environment.resolved.unmet:
            _say(f"not as asked for: {line}")
        taken = len(environment.resolved.taken)
        _say(f"environment: {taken} wheels of the folder beside the system's packages")
        if not given.rehearse:
            beside.refuse_without_gpu(environment)
        report.content["environment"] = environment.content()
        plan = replace(TINY if given.rehearse else REAL, folder=name)
        if not given.rehearse:
            rounds = int(given.minutes // _MINUTES_OF_A_ROUND)
            plan = replace(plan, rounds=max(plan.rounds, rounds))

        unsaid = ("device", "folder", "seconds")
        chosen = {name: value for name, value in asdict(plan).items() if name not in unsaid}
        report.content["chosen"] = chosen

        def command(part: Part, limit: float, answer: Path) -> list[str]:
            file = folder / f"{part.name}.plan.json"
            # A little less than the part is given, so that it ends by itself.
            replace(plan, seconds=limit - 2).write(file)
            work = ["-W", "ignore", "-m", "benchmarks.cuda.work", part.name]
            return [str(environment.python), *work, str(file), str(answer)]

        parts = [part for part in PARTS if not given.part or part.name in given.part]
        run_parts(
            parts,
            command,
            report,
            minutes=given.minutes,
            until=until,
            folder=folder,
            say=_say,
            ended=lambda: _note_time(report, started),
        )
    _judge(report)


def _note_time(report: Report, started: float) -> None:
    report.content["minutes"]["used"] = round((time.monotonic() - started) / 60, 1)
    for part in report.content.get("parts", []):
        # What the first part says of the machine is said of the whole file.
        for name in ("machine", "versions"):
            if name in part:
                report.content[name] = part.pop(name)


def _judge(report: Report) -> None:
    """Print what was not kept; a file with such a row is still a whole answer."""
    parts = report.content.get("parts", [])
    refused = [row for part in parts for row in part["rows"] if row["kept"] == "no"]
    for row in refused:
        _say(f"not kept: {row['what']}: {row['found']}; asked for: {row['asked']}")
    _say(f"written to {report.path}")
    if refused or any(part["state"] != DONE for part in parts):
        sys.exit(1)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
