"""The front door: `nox -s NAME`. `nox -l` lists the sessions."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "reproducibility"]

# Images of containers often set it: every process would compile torch and fastai anew, for half a
# minute each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What a run needs, the engine's wheel among it; and what development needs on top.
LOCK, DEV_LOCK = Path("requirements.lock"), Path("requirements-dev.lock")
VENDOR, UNPACKED = Path("vendor"), Path("twinrun")
CRUFT = Path(".cruft.json")
# In the wheel: the locks that the engine was tested with, and what shortens locks.
RUN_PINS = "twinrun_template/resources/requirements.lock"
HASHES = "twinrun/wheel/lock_hashes.py"
DEV_PINS = "twinrun_template/{{cookiecutter.project_slug}}/requirements-dev.lock"


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, check the workflows: all hooks on all files."""
    session.install("--require-hashes", *readable(session, DEV_LOCK))
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; options go to pytest."""
    install(session, DEV_LOCK)
    session.run("pytest", *session.posargs)


@nox.session
def reproducibility(session: nox.Session) -> None:
    """Train twice and compare every bit; `-- --all` takes all members."""
    install(session)
    session.run("twinrun", "twins", "--profile", "fixture", *session.posargs)


@nox.session(default=False)
def full_train(session: nox.Session) -> None:
    """Train, blend, submit; `-- --data DIR` takes the data from there."""
    install(session)
    session.run("twinrun", "run", "--without-data", "fixture", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write both locks anew; `-- --extra cluster` adds Ray."""
    wheel = vendored(session)
    parser = argparse.ArgumentParser("nox -s lock --", allow_abbrev=False)
    parser.add_argument("--extra", action="append", default=[])
    given, options = parser.parse_known_args(session.posargs)
    known = offered(wheel)
    if unknown := [extra for extra in given.extra if extra not in known]:
        session.error(f"no such extra: {', '.join(unknown)}; there are {', '.join(known)}")
    session.install("uv")
    extras = f"[{','.join(given.extra)}]" if given.extra else ""
    told = " ".join(["nox -s lock", *(f"--extra {extra}" for extra in given.extra)])
    told = told.replace("--extra", "-- --extra", 1)
    folder = Path(session.create_tmp())
    (folder / "engine.in").write_text(f"./{wheel.as_posix()}{extras}\n", encoding="utf-8")
    with zipfile.ZipFile(wheel) as archive:
        script = archive.extract(HASHES, folder)
    is_new = not names(LOCK, wheel)
    for path, pins, asked in (
        (LOCK, RUN_PINS, (str(folder / "engine.in"), "pyproject.toml")),
        # What is locked for a run is so for development; but the wheel has no name to be pinned by.
        (DEV_LOCK, DEV_PINS, ("--group", "dev", "--constraint", str(folder / "pinned.txt"))),
    ):
        new = folder / path.name
        new.write_text(pinned(path, wheel, pins if is_new else None), encoding="utf-8")
        pythons = ("--universal", "--python-version", "3.11", "--quiet")
        session.run(
            *("uv", "pip", "compile", *asked, "--output-file", str(new), *pythons),
            *("--generate-hashes", "--custom-compile-command", told, "--no-annotate"),
            *("--no-emit-index-url", "--no-emit-find-links", *options),
        )
        files = str(folder / "pylock.toml")
        session.run("uv", "pip", "compile", str(new), "--no-deps", "-o", files, *pythons)
        session.run("python", script, str(new), files)
        pins_of_run = "".join(entries(new.read_text(encoding="utf-8")).values())
        (folder / "pinned.txt").write_text(pins_of_run, encoding="utf-8")
    for path in (LOCK, DEV_LOCK):  # both or none
        shutil.copyfile(folder / path.name, path)


@nox.session(default=False)
def update(session: nox.Session) -> None:
    """Take the newest engine and template; write the locks anew."""
    session.install("--require-hashes", *readable(session, DEV_LOCK))
    keep_old_version(session)
    said = str(session.run("cruft", "update", "--skip-apply-ask", *session.posargs, silent=True))
    session.log(said.strip())
    if "Failed to apply the update" in said:
        # cruft has dropped what it could not merge; it began with a clean work tree.
        session.run("git", "reset", "-q", "--hard", external=True)
        session.run("git", "clean", "-qfd", external=True)
        session.error("the update cannot be merged, see above; nothing is changed")
    unmerged = ("git", "diff", "--name-only", "--diff-filter=U")
    conflicts = session.run(*unmerged, silent=True, external=True)
    if conflicts:
        session.error(f"resolve the conflicts, commit, then `nox -s lock`:\n{conflicts}")
    session.notify("lock", lock_command().partition(" -- ")[2].split())


def keep_old_version(session: nox.Session) -> None:
    """Let git know the files as the template made them: it merges with them.

    It need not have them where a file was edited before the first commit, nor in a shallow clone.
    """
    link = "`cruft link ADDRESS --directory template` says where updates come from"
    if not CRUFT.is_file():
        session.error(f"there is no {CRUFT}: {link}")
    known = json.loads(CRUFT.read_text(encoding="utf-8"))
    address, answers = known["template"], known["context"]["cookiecutter"]
    reach = ("git", "ls-remote", "--quiet", "--exit-code", address, "HEAD")
    if subprocess.run(reach, capture_output=True, check=False).returncode:
        session.error(f"cannot reach the template at {address}: {link}")
    given = {key: text for key, text in answers.items() if not key.startswith("_")}
    folder = Path(session.create_tmp(), "old")
    shutil.rmtree(folder, ignore_errors=True)
    session.run(
        *("cruft", "create", address, "--directory", known["directory"], "--no-input"),
        *("--checkout", known["commit"], "--output-dir", str(folder)),
        *("--extra-context", json.dumps(given)),
        silent=True,
        log=False,
    )
    files = [str(path) for path in folder.rglob("*") if path.is_file()]
    session.run("git", "hash-object", "-w", *files, silent=True, log=False, external=True)


@nox.session(default=False)
def eject(session: nox.Session) -> None:
    """Unpack the engine into twinrun/, to be changed there."""
    if UNPACKED.exists():
        session.error(f"{UNPACKED}/ is there already; for a fresh one remove it first")
    partial = UNPACKED.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with zipfile.ZipFile(vendored(session)) as archive:
        archive.extractall(partial, [n for n in archive.namelist() if n.startswith("twinrun/")])
    (partial / UNPACKED).rename(UNPACKED)
    partial.rmdir()
    session.log(f"the engine is in {UNPACKED}/ now: commit it, change it, rerun the sessions")


def install(session: nox.Session, *more: Path) -> None:
    """Install the locked packages, each checked by its hash, and the engine that is in force."""
    wheel = vendored(session)
    locks = readable(session, LOCK, *more)
    if not names(LOCK, wheel):
        session.error(
            f"{LOCK} does not name {wheel} as it is: `git checkout -- {VENDOR}` brings back the one "
            f"that is committed, `{lock_command()}` takes this one"
        )
    session.install("--require-hashes", *locks)
    if (UNPACKED / "__init__.py").is_file():
        session.install("--no-deps", "--no-build-isolation", "-e", f"./{UNPACKED}")
        origin = UNPACKED / "origin.json"
        with zipfile.ZipFile(wheel) as archive:
            vendored_origin = archive.read(origin.as_posix())
        if not origin.is_file() or origin.read_bytes() != vendored_origin:
            session.warn(f"{UNPACKED}/ is in force; it is not of the version of {wheel}")
    elif not is_installed(session, wheel):
        # Of one version pip keeps what is there, also a folder that is gone.
        session.install("--no-deps", "--force-reinstall", f"./{wheel}")


def readable(session: nox.Session, *locks: Path) -> list[str]:
    """The options that install locks; one that is missing or has conflict marks is refused."""
    for path in locks:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
        if text is None or re.search("^(<{7}|={7}|>{7})", text, re.MULTILINE):
            wrong = "is missing" if text is None else "has conflict marks"
            session.error(f"{path} {wrong}: write it anew with `{lock_command()}`")
    return [part for path in locks for part in ("-r", str(path))]


def lock_command() -> str:
    """The command that wrote the lock, with the extras that it was given."""
    text = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    told = re.search(r"^#\s+(nox -s lock.*)$", text, re.MULTILINE)
    return told[1] if told else "nox -s lock"


def vendored(session: nox.Session) -> Path:
    """The engine's wheel, whole."""
    found = sorted(VENDOR.glob("twinrun-*.whl"))
    if len(found) != 1:
        held = " and ".join(path.name for path in found) or "none"
        fix = f"remove those that {LOCK} does not name" if found else f"git checkout -- {VENDOR}"
        session.error(f"{VENDOR}/ must hold one wheel of the engine, and holds {held}: {fix}")
    try:
        with zipfile.ZipFile(found[0]) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        damaged = str(error)
    if damaged is not None:
        session.error(f"{found[0]} is damaged ({damaged}): git checkout -- {VENDOR}")
    return found[0]


def offered(wheel: Path) -> list[str]:
    """The extras that the engine has."""
    name, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{name}-{version}.dist-info/METADATA").decode()
    return re.findall(r"^Provides-Extra: (.+)$", text, re.MULTILINE)


def is_installed(session: nox.Session, wheel: Path) -> bool:
    """Whether the session's environment holds the files of this very wheel."""
    name, version = wheel.name.split("-")[:2]
    record = f"{name}-{version}.dist-info/RECORD"
    with zipfile.ZipFile(wheel) as archive:
        rows = set(archive.read(record).decode().splitlines())
    found = Path(session.virtualenv.location).glob(f"lib/*/site-packages/{record}")
    return any(rows <= set(path.read_text(encoding="utf-8").splitlines()) for path in found)


def names(path: Path, wheel: Path) -> bool:
    """Whether a lock names the wheel, with the hash that it has."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    line = f"./{wheel.as_posix()} \\\n    --hash=sha256:{digest}\n"
    return path.is_file() and line in path.read_text(encoding="utf-8")


def pinned(path: Path, wheel: Path, pins: str | None) -> str:
    """The versions that a new lock begins with: the present ones, a new engine's own before them.

    Args:
        path: The present lock.
        wheel: The engine's.
        pins: The engine's own lock within the wheel, where the engine is new.
    """
    present = path.read_text(encoding="utf-8") if path.is_file() else ""
    new = zipfile.ZipFile(wheel).read(pins).decode() if pins else ""
    return "".join({**entries(present), **entries(new)}.values())


def entries(lock: str) -> dict[str, str]:
    """The lines of each package of a lock, by its name; the wheel, which has none, is left out."""
    found: dict[str, str] = {}
    for entry, name in re.findall(r"^(([\w.-]+)==.*\n(?: .*\n)*)", lock, re.MULTILINE):
        found[name] = found.get(name, "") + entry
    return found
