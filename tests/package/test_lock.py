"""A lock may say little: what would make an installer take or run something else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from twinrun.errors import InputError
from twinrun.package.lock import parse_lock, read_lock, unlike

ONE, TWO = "1" * 64, "2" * 64
HASH = f"--hash=sha256:{ONE}"

LIES = (
    "--index-url https://evil.example/simple",
    "-i https://evil.example/simple",
    "--extra-index-url=https://evil.example/simple",
    "--find-links ./wheels",
    "--trusted-host evil.example",
    "--no-binary :all:",
    "--pre",
    "-r more.lock",
    "-c more.lock",
    "-e ./twinrun",
    "-e git+https://evil.example/x.git#egg=x",
    f"https://evil.example/x-1-py3-none-any.whl {HASH}",
    f"x @ https://evil.example/x-1-py3-none-any.whl {HASH}",
    f"x @ file:///tmp/x-1-py3-none-any.whl {HASH}",
    f"git+https://evil.example/x.git {HASH}",
    f"/tmp/x-1-py3-none-any.whl {HASH}",
    f"../x-1-py3-none-any.whl {HASH}",
    f"./vendor/../x-1-py3-none-any.whl {HASH}",
    f"./vendor/deeper/x-1-py3-none-any.whl {HASH}",
    f"./x-1-py3-none-any.whl {HASH}",
    f"./vendor/x-1.tar.gz {HASH}",
    f"./vendor/x.whl {HASH}",
    f"./vendor {HASH}",
    "x==1",
    "x",
    f"x {HASH}",
    f"x>=1 {HASH}",
    f"x==1.* {HASH}",
    f"x===1 {HASH}",
    f"x==1,!=1 {HASH}",
    f"x[extra]==1 {HASH}",
    f"x==one {HASH}",
    "x==1 --hash=sha256:00",
    f"x==1 --hash=md5:{ONE}",
    f"x==1 {HASH} --config-settings=a=b",
    f"x==1 --global-option=--evil {HASH}",
    f"x==1 ; nonsense {HASH}",
    f"x==1 ; python_version < '4' --index-url https://evil.example {HASH}",
    f"x==1 {HASH} # a comment \\\n--index-url https://evil.example",
    f"x==1 {HASH}\v--index-url https://evil.example",
    f"x==1 {HASH}\r--index-url https://evil.example",
    f"x==1 {HASH}\u2028--index-url https://evil.example",
    "${SECRET}==1 " + HASH,
    f"\u0445==1 {HASH}",
)


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_version_with_a_hash_is_refused(lie: str) -> None:
    with pytest.raises(InputError, match="holds what no lock may hold") as caught:
        parse_lock(f"a==1 {HASH}\n{lie}\nb==2 {HASH}\n", "requirements.lock")
    (line,) = caught.value.details
    assert lie.split(maxsplit=1)[0] in line
    assert "nox -s lock" in caught.value.fix


def test_versions_markers_and_wheels_of_the_project_are_read() -> None:
    lock = (
        "# ./comment.whl --index-url x\n\n"
        f"./vendor/twinrun-0.2.0-py3-none-any.whl \\\n    {HASH} \\\n    --hash=sha256:{TWO}\n"
        "Torch_Vision==2.15.0+cu130 ; python_version < '4' and sys_platform == 'linux' "
        f"\\\r\n    {HASH}\r\n"
        f"    # via twinrun\n"
        f"colorama==0.4.6 ; sys_platform == 'win32' {HASH}"
    )
    wheel, torch, other = parse_lock(lock, "requirements.lock")
    assert (wheel.name, wheel.version, wheel.hashes) == ("twinrun", "0.2.0", (ONE, TWO))
    assert wheel.place == "vendor/twinrun-0.2.0-py3-none-any.whl"
    assert wheel.is_engine
    assert (torch.name, torch.version) == ("torch-vision", "2.15.0+cu130")
    assert not torch.is_engine
    assert (torch.applies, other.applies) == (True, False)
    # As it is written for an installer it says the same.
    assert torch.line(Path("/p")) == (
        "torch-vision==2.15.0+cu130 ; python_version < '4' and sys_platform == 'linux' " + HASH
    )
    assert wheel.line(Path("/p")) == f"/p/{wheel.place} {HASH} --hash=sha256:{TWO}"
    assert parse_lock(torch.line(Path("/p")), "again") == (torch,)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_our_own_locks_are_of_this_kind(name: str) -> None:
    assert len(read_lock(ROOT / name)) > 100


def test_a_lock_is_unlike_where_it_could_bring_another_file() -> None:
    own = parse_lock(f"a==1 {HASH} --hash=sha256:{TWO}\nb==1 {HASH}\nb==2 {HASH}\n", "own")
    engine = f"./vendor/twinrun-0.2.0-py3-none-any.whl {HASH}\n"
    same = parse_lock(f"{engine}A==1 ; python_version < '4' {HASH}\nb==2 {HASH}\n", "lock")
    assert unlike(same, own) == []
    for line in (
        f"a==2 {HASH}",
        f"c==1 {HASH}",
        f"a==1 --hash=sha256:{'3' * 64}",
        f"a==1 {HASH} --hash=sha256:{'3' * 64}",
        f"./vendor/a-1-py3-none-any.whl {HASH}",
    ):
        lock = parse_lock(f"b==1 {HASH}\n{line}\n", "lock")
        assert unlike(lock, own) == [lock[1]]
    assert unlike(same, ()) == list(same[1:])
