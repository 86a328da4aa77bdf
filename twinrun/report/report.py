"""report.html: a run on one page that needs nothing else and opens from the disk."""

from __future__ import annotations

import datetime
from pathlib import Path

from markupsafe import Markup

from twinrun.console import clock, count_of
from twinrun.files import write_text
from twinrun.locks import lock_record
from twinrun.report.member_contributions import Tables
from twinrun.report.run_data import read_run_data
from twinrun.report.sections import SECTIONS
from twinrun.report.verdicts import overall
from twinrun.run_folder.documents import seal_page
from twinrun.run_folder.paths import RunFolder


def write_report(run: Path, data: Path | None = None, tables: Tables | None = None) -> Path:
    """Write runs/<run>/report.html from the files that the run has by now.

    The same files, the same bytes: clocks and durations are the manifest's. What is not there yet
    leaves its section with one sentence.

    Args:
        run: runs/<run>.
        data: The data folder, for thumbnails; None for the one that is recorded.
        tables: The members' held-out predictions, from `read_held_out_tables`; read when None.

    Returns:
        The file.

    Raises:
        InputError: It is no run, one of its files is damaged, or the page cannot be written.
    """
    path, text = RunFolder(run).report, render(run, data, tables)
    # Whoever takes a turn removes what looks unfinished in the run's folder.
    with lock_record(run):
        write_text(path, text)
    return path


def render(run: Path, data: Path | None = None, tables: Tables | None = None) -> str:
    """The page's text; arguments and errors as for `write_report`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("twinrun", "report/page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["some"] = count_of
    environment.globals |= {"clock": clock, "moment": _moment}
    found = read_run_data(run, data, tables)
    # All of them first: what has no thumbnail is known when the last section has asked.
    gathered = [(section, section.gather(found)) for section in SECTIONS]
    page = environment.get_template("report.html").render(
        run=run.resolve().name,
        settings=found.settings,
        manifest=found.manifest,
        overall=overall(found.verdicts),
        metric=found.metric.words,
        members=found.members,
        errors=found.errors,
        looked_into=found.looked_into,
        computed=found.computed,
        sections=[
            (section, Markup(environment.from_string(section.template).render(values)))  # noqa: S704
            for section, values in gathered
        ],
    )
    return seal_page(page + "\n")


def _moment(written: str) -> str:
    """A time in ISO's form as people write it: 2026-11-24, 09:33 UTC."""
    return datetime.datetime.fromisoformat(written).strftime("%Y-%m-%d, %H:%M UTC")
