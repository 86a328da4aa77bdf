"""An S3 server on this machine; a small competition and its serial runs."""

from __future__ import annotations

import itertools
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from filelock import FileLock

from tests.cluster.driving import Nodes, driver
from tests.kills.small import write_competition
from twinrun.cluster.storage import Storage

NUMBERS = itertools.count()
FOLDER, MEMORY = "folder", "memory"
S3 = pytest.param("s3", marks=pytest.mark.cluster)
STORES = pytest.mark.parametrize("kind", [MEMORY, S3])
EVERY = pytest.mark.parametrize("kind", [FOLDER, MEMORY, S3])


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of moto's server, on loopback only."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket that this process and its children reach, and no other."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Where there are no credentials, Amazon's machines are asked for some.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    bucket = f"bucket-{next(NUMBERS)}"
    with urlopen(Request(f"{s3_server}/{bucket}", method="PUT")):
        pass
    return f"s3://{bucket}/shared"


@pytest.fixture
def address(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An empty storage of each kind."""
    if kind == MEMORY:
        return f"memory://{uuid.uuid4().hex}/below"
    return str(request.getfixturevalue("s3")) if kind == "s3" else str(tmp_path / "shared")


@pytest.fixture
def storage(address: str) -> Storage:
    return Storage(address)


def competition_in(folder: Path) -> Path:
    """Settings and data of a small competition."""
    write_competition(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In which a small competition lies."""
    return competition_in(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head that trains nothing, and two nodes of one core."""
    with Nodes() as cluster:
        cluster.add("one")
        cluster.add("two")
        yield cluster


Serial = Callable[..., Path]


@pytest.fixture(scope="session")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Serial:
    """The folder of a run on this machine alone, made once for the same options.

    The processes that share the tests share these runs.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder = place / "serial"

    def run(*options: str) -> Path:
        made = folder / "runs" / sha256("\n".join(options).encode()).hexdigest()[:12]
        with FileLock(place / "serial.lock"):
            if not folder.exists():
                competition_in(folder)
            if not (made / "submission.csv").exists():
                with driver(folder, made.name, *options) as process:
                    assert process.end() == 0, process.text
        return made

    return run
