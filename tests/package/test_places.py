"""What is handed on names no folder, user or host of the machine that it was made on."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import platform
import re
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from pyarrow import parquet

from tests.conftest import FIXTURE, SMALL, Command
from tests.package.packing import commit, drawn_run, thin_project
from tests.run_folder.documents import edited
from twinrun.errors import NegativeVerdict
from twinrun.package.hosts import HOSTS
from twinrun.package.package import make_package
from twinrun.package.places import find_places, hide_places, own_places, telling_places
from twinrun.package.worktree import read_work_tree
from twinrun.run_folder.paths import RUN_FILES, RunFolder

FOLDER, USER, NODE = "Żółw O'Brien & Söhne", "zolw-obrien", "schildkroete-17"
# As they may stand in a text, in JSON, on a page, in an address.
NEEDLES = {
    spelled
    for name in ("Żółw", "O'Brien", "& Söhne", USER, NODE)
    for spelled in (
        *(name.encode(), json.dumps(name)[1:-1].encode(), quote(name).encode()),
        *(html.escape(name).encode(), name.encode("utf-16-le"), repr(name)[1:-1].encode()),
    )
}


def layers(content: bytes) -> Iterator[bytes]:
    """A file's bytes, and all that is packed in them."""
    yield content
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                yield entry.filename.encode()
                yield from layers(archive.read(entry))
    if content[:4] == b"PAR1":
        table = parquet.read_table(io.BytesIO(content))
        yield str(table.schema.metadata).encode()
        for column in table.columns:
            yield "\n".join(map(str, column.to_pylist())).encode()
    if content[:2] == b"\x1f\x8b":
        yield from layers(gzip.decompress(content))
    for found in re.finditer(rb"base64,([A-Za-z0-9+/=]{16,})", content):
        yield from layers(base64.b64decode(found[1]))


def names_of_mine(content: bytes) -> set[bytes]:
    return {needle for each in layers(content) for needle in NEEDLES if needle in each}


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user with a peculiar name, on a host with a peculiar one."""
    home = tmp_path / FOLDER / USER
    home.mkdir(parents=True)
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, USER)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HOSTNAME", NODE)
    monkeypatch.setattr(socket, "gethostname", lambda: NODE)
    monkeypatch.setattr(socket, "getfqdn", lambda *_: f"{NODE}.example.org")
    monkeypatch.setattr(platform, "node", lambda: NODE)
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", USER)
        monkeypatch.setenv(f"{name}_EMAIL", f"{USER}@{NODE}")
    return home


def project_of(home: Path) -> Path:
    """A project in somebody's home, whose data lies outside of it."""
    project = thin_project(home / "wheat")
    settings = SMALL.format(folder="../../photos")
    (project / "competition" / "competition.toml").write_text(settings, encoding="utf-8")
    shutil.copytree(FIXTURE, home / "photos")
    commit(project)
    return project


def parquet_of(name: str) -> bytes:
    file = io.BytesIO()
    pd.DataFrame({"path": [name * 9]}).to_parquet(file, compression="zstd")
    return file.getvalue()


def zip_of(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run/x.json", json.dumps({"folder": f"/home/{name}"}))
    return file.getvalue()


@pytest.mark.parametrize("name", [FOLDER, USER, NODE])
@pytest.mark.parametrize(
    "hold",
    [
        lambda name: f"/home/{name}/x".encode(),
        lambda name: json.dumps({"folder": f"/home/{name}"}).encode(),
        lambda name: html.escape(f"/home/{name}").encode(),
        lambda name: quote(f"file:///home/{name}").encode(),
        parquet_of,
        zip_of,
        lambda name: gzip.compress(zip_of(name)),
        lambda name: b"data:x;base64," + base64.b64encode(gzip.compress(name.encode())),
    ],
)
def test_the_search_would_find_a_name(name: str, hold: Callable[[str], bytes]) -> None:
    assert names_of_mine(hold(name))
    assert not names_of_mine(hold("somebody"))


@pytest.mark.slow  # a training, a verification
def test_nothing_that_a_run_leaves_and_a_package_holds_names_its_maker(
    somebody: Path, invoke: Command
) -> None:
    project = project_of(somebody)
    for words in (
        ("run", "--run", "full"),
        ("verify", "runs/full", "--predict-only"),
        ("twins", "a", "--perturb", "none"),
        ("report", "runs/full"),
        *(("package", "runs/full", "--for", host) for host in HOSTS.names),
    ):
        done = invoke(*words, cwd=project)
        assert done.returncode == 0, done.stderr
    check_what_is_handed_on(project, forced=False)


def test_nothing_of_a_package_names_its_maker_even_where_it_is_forced(
    somebody: Path,
) -> None:
    project = project_of(somebody)
    run = drawn_run(project / "competition" / "competition.toml", project / "runs" / "full")
    code = read_work_tree(project).engine().code
    edited(run / "manifest.json", "content", "code", value=code)
    # Reasons that quote paths: git's own words, a file that cannot be read.
    (project / ".git").rename(somebody / "elsewhere")
    (run / "members" / "a" / "valid.csv").unlink()
    for host in HOSTS:
        output = project / "runs" / f"full-{host.name}.zip"
        made = make_package(run, host, output, force=True, project=project)
        assert len(made.contents.why) == 2
        assert "the project's folder" in made.contents.why[0]
    check_what_is_handed_on(project, forced=True)


def check_what_is_handed_on(project: Path, *, forced: bool) -> None:
    run = RunFolder(project / "runs" / "full")
    assert names_of_mine(run.place.read_bytes()), "what stays here does say where the data lies"
    files = [run.path / name for name in RUN_FILES]
    files += [path for path in run.members.rglob("*") if path.is_file()]
    files += [path for path in run.verdicts if path.is_file()]
    packages = sorted((project / "runs").glob("*.zip"))
    assert len(packages) == len(HOSTS)
    found = {path.name: names_of_mine(path.read_bytes()) for path in files if path.is_file()}
    found |= {path.name: names_of_mine(path.read_bytes()) for path in packages}
    assert {name: names for name, names in found.items() if names} == {}
    expected = {"manifest.json", "member.json", "index.parquet", "submission.csv", "valid.csv"}
    expected |= set() if forced else {"report.html", "blend.json", "audit.json", "twins.json"}
    assert expected <= found.keys()


# What a user wrote into files that git keeps.


@pytest.fixture
def run(somebody: Path) -> Path:
    project = project_of(somebody)
    run = drawn_run(project / "competition" / "competition.toml", project / "runs" / "full")
    code = read_work_tree(project).engine().code
    edited(run / "manifest.json", "content", "code", value=code)
    return run


def refusal(run: Path, tmp_path: Path) -> str:
    project = run.parents[1]
    commit(project)
    with pytest.raises(NegativeVerdict) as caught:
        make_package(run, HOSTS.get("zindi"), tmp_path / "x.zip", force=False, project=project)
    return str(caught.value)


def test_a_data_folder_of_this_machine_in_the_settings_is_refused_and_where_it_belongs_is_said(
    run: Path, somebody: Path, tmp_path: Path
) -> None:
    settings = run.parents[1] / "competition" / "competition.toml"
    text = settings.read_text(encoding="utf-8").replace("../../photos", f"{somebody}/photos")
    settings.write_text(text.replace(f"'{somebody}", f'"{somebody}').replace("photos'", 'photos"'))
    told = refusal(run, tmp_path)
    assert (
        "competition/competition.toml: names the data folder of this machine; it belongs into "
        "competition/local.toml"
    ) in told


@pytest.mark.parametrize("place", ["{home}/x", "cd {project}", "../{home}", "file://{quoted}/a"])
def test_any_file_of_the_project_that_names_a_place_of_this_machine_is_refused(
    run: Path, somebody: Path, tmp_path: Path, place: str
) -> None:
    written = place.format(home=somebody, project=run.parents[1], quoted=quote(str(somebody)))
    (run.parents[1] / "notes.txt").write_text(f"See {written} for more.")
    assert "notes.txt: names the" in refusal(run, tmp_path)


def test_what_only_looks_like_such_a_place_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text(f"/data/x /srv/wheatfield x/srv/wheat {Path.home().parent}\n")
    places = own_places(Path("/srv/wheat"), Path("/srv/wheat/runs/full"), Path("/data"))
    assert "/srv/wheat" in places
    assert "/data" not in places
    assert list(find_places({"x.txt": file}, places)) == []
    file.write_text("see /srv/wheat.")
    assert list(find_places({"x.txt": file}, places)) == [
        "x.txt: names the project's folder of this machine"
    ]


def test_the_longest_place_is_hidden_first() -> None:
    places = own_places(Path("/srv/wheat"), Path("/srv/wheat/runs/full"), Path("/srv/photos"))
    text = "/srv/wheat/runs/full/x, /srv/wheat/y, /srv/photos"
    assert hide_places(text, places) == (
        "the run's folder/x, the project's folder/y, the data folder"
    )


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("/data/me2/x /data/me-2 x/data/me", "/data/me2/x /data/me-2 x/data/me"),
        (
            "/data/me/x, '/data/me', /data/me.",
            "the data folder/x, 'the data folder', the data folder.",
        ),
        (r"'no\n/data/me/x'", r"'no\nthe data folder/x'"),
        ("/data/me \ud800", "the data folder \ud800"),
    ],
)
def test_a_place_is_hidden_where_it_is_found(tmp_path: Path, text: str, hidden: str) -> None:
    places = telling_places((Path("/data/me"), "the data folder"))
    assert hide_places(text, places) == hidden
    file = tmp_path / "x.txt"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert bool(list(find_places({"x.txt": file}, places))) == (text != hidden)


def test_a_place_is_hidden_however_it_is_written() -> None:
    places = telling_places((Path("/srv/my <photos>"), "the data folder"))
    text = 'file:///srv/my%20%3Cphotos%3E/a, <a href="/srv/my &lt;photos&gt;">'
    assert hide_places(text, places) == 'file://the data folder/a, <a href="the data folder">'
