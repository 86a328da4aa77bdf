"""The front door: `nox -s NAME`. `nox -l` lists the sessions."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "reproducibility"]

# Images of containers often set it: every process would compile torch and fastai anew, for half a
# minute each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What a run needs; and development with it: tests, lint, extras.
LOCK, DEV_LOCK = "requirements.lock", "requirements-dev.lock"
TESTED_EXTRAS = ("cluster", "distributed", "export", "tracking")
PROJECT = Path("template", "{{cookiecutter.project_slug}}")


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, type-check, check imports and workflows: all hooks on all files."""
    install(session, DEV_LOCK)
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite on all cores; options go to pytest."""
    install(session, DEV_LOCK)
    session.run("pytest", "-n", "auto", "--maxprocesses", "4", *session.posargs)


@nox.session(default=False)
def matrices(session: nox.Session) -> None:
    """Run the slow tests: every moment of a kill, every step of a resume."""
    install(session, DEV_LOCK)
    session.run("pytest", "-m", "slow", "-n", "auto", "--maxprocesses", "2", *session.posargs)


@nox.session
def reproducibility(session: nox.Session) -> None:
    """Train one member of each network twice and compare every bit; `-- --all` takes all ten."""
    install(session)
    session.run("twinrun", "twins", "--profile", "fixture", *session.posargs)


@nox.session(default=False)
def full_train(session: nox.Session) -> None:
    """Train all members, blend, write the submission; `-- --data DIR` names the real data."""
    install(session)
    session.run("twinrun", "run", "--without-data", "fixture", *session.posargs)


@nox.session(default=False)
def template(session: nox.Session) -> None:
    """Make projects from the template and run what they promise; `-- -m template` takes all."""
    install(session, DEV_LOCK)
    quick = ("-m", "template and not slow")
    # One test runs a whole project's sessions: the other process takes the rest meanwhile.
    cores = ("-n", "auto", "--maxprocesses", "2", "--dist", "worksteal")
    session.run("pytest", *quick, *cores, "tests/template", *session.posargs)


@nox.session(default=False)
def folders(session: nox.Session) -> None:
    """From the drawn data folders of six public competitions to valid submissions."""
    install(session, DEV_LOCK)
    cores = ("-n", "auto", "--maxprocesses", "2")
    session.run("pytest", "-m", "folders", *cores, "tests/competitions", *session.posargs)


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """Train on Ray, ranks, array jobs; an S3 server; all on the loopback address."""
    install(session, DEV_LOCK)
    # Two cores: most of a test's time goes into processes that start, and import for seconds.
    cores = ("-n", "auto", "--maxprocesses", "2", "--dist", "loadgroup")
    places = ("tests/cluster", "tests/test_array_jobs.py")
    session.run("pytest", "-m", "cluster", *cores, *places, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what docs/performance.md says, in 90 minutes; names of figures choose some."""
    install(session, DEV_LOCK)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write all locks anew from pyproject.toml; `-- --upgrade` takes newer versions."""
    session.install("uv")
    write_lock(session, LOCK, "pyproject.toml")
    # Development takes the versions that a run has.
    more = ("--constraint", LOCK)
    extras = [part for name in TESTED_EXTRAS for part in ("--extra", name)]
    write_lock(session, DEV_LOCK, "pyproject.toml", *extras, "--group", "dev", *more)
    # A made project's own: its name stands in braces here, which no resolver takes.
    described = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    named = Path(session.create_tmp(), "pyproject.toml")
    named.write_text(described.replace("{{ cookiecutter.project_slug }}", "project"))
    write_lock(session, str(PROJECT / DEV_LOCK), "--group", f"{named}:dev", *more)


def write_lock(session: nox.Session, path: str, *asked: str) -> None:
    """Resolve what is asked for, for every supported Python and system, into a lock."""
    pythons = ("--universal", "--python-version", "3.11", "--quiet")
    session.run(
        *("uv", "pip", "compile", *asked, "--output-file", path, *pythons, "--generate-hashes"),
        *("--custom-compile-command", "nox -s lock", "--no-annotate"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *session.posargs,
    )
    files = str(Path(session.create_tmp(), "pylock.toml"))
    session.run(*("uv", "pip", "compile", path, "--no-deps", "--output-file", files), *pythons)
    session.run("python", "twinrun/wheel/lock_hashes.py", path, files)


def install(session: nox.Session, *more: str) -> None:
    """Install the locked packages, each checked by its hash, and this project itself."""
    locks = [part for name in (LOCK, *more) for part in ("-r", name)]
    session.install("--require-hashes", *locks)
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


@nox.session(default=False)
def floors(session: nox.Session) -> None:
    """Train and predict the fixture with the lowest versions of all libraries."""
    # Not in create_tmp(): tests would make their folders there too, and stand in this project.
    lowest = str(Path(session.virtualenv.location, "lowest.txt"))
    binary = ("--only-binary", ":all:")
    session.install("uv")
    session.run(
        *("uv", "pip", "compile", "pyproject.toml", "--resolution", "lowest-direct", *binary),
        *("--python", str(Path(session.bin, "python")), "--output-file", lowest, "--quiet"),
    )
    session.install(*binary, "-r", lowest, "hypothesis", "pytest", "pytest-xdist")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    places = (
        "tests/blend",
        "tests/data",
        "tests/networks",
        "tests/repro/test_environment.py",
        "tests/test_competition.py",
        "tests/test_files.py",
        "tests/test_floors.py",
        "tests/test_locks.py",
        "tests/test_probabilities.py",
        "tests/test_run.py::test_a_run_trains_blends_validates_and_says_where_everything_is",
        "tests/train",
    )
    # Trackers are an extra. Old libraries warn of each other, so a warning is no error here.
    options = ("--ignore", "tests/train/test_tracking.py", "-W", "default")
    cores = ("-n", "auto", "--maxprocesses", "2")
    session.run("pytest", *cores, *options, *places, *session.posargs)
