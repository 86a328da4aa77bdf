"""Checkpoints: what is saved comes back to the last bit, and what is damaged is never used."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import xxhash
from safetensors import SafetensorError
from torch import Tensor

from twinrun.errors import InputError
from twinrun.train.checkpoints import Checkpoint, Checkpoints

IDENTITY = {"settings": {"seed": 0, "member": {"name": "a"}}, "data": "d1"}
FACTS = {
    "text": "Größe µ",
    "numbers": [0, -1, 2**60, 0.1, 1e-320, float("inf")],
    "nothing": None,
    "table": {"yes": True, "empty": []},
}
DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


@pytest.fixture
def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(folder, IDENTITY)


def state(epoch: int, step: int) -> Checkpoint:
    """A small checkpoint that knows where it was made."""
    tensors = {"weight/w": torch.tensor([epoch, step, -0.0]), "count": torch.tensor(step)}
    return Checkpoint(epoch, step, tensors, {**FACTS, "place": [epoch, step]})


def place(checkpoint: Checkpoint | None) -> tuple[int, int] | None:
    """Where a checkpoint was made, as all of its parts say it."""
    if checkpoint is None:
        return None
    facts, weight = checkpoint.facts["place"], checkpoint.tensors["weight/w"].tolist()
    assert [checkpoint.epoch, checkpoint.step] == facts == weight[:2]
    return checkpoint.epoch, checkpoint.step


def file_of(folder: Path, epoch: int, step: int) -> Path:
    (path,) = folder.glob(f"epoch-{epoch:04d}-step-{step:06d}-*.safetensors")
    return path


def names(folder: Path) -> list[str]:
    """What lies in the folder, without the digests in the names."""
    return sorted(path.name.removesuffix(".safetensors")[:22] for path in folder.iterdir())


def bits_of(tensor: Tensor) -> bytes:
    flat = tensor.contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b""


def named_after_its_bytes(folder: Path, epoch: int, step: int, content: bytes) -> Path:
    """Put bytes into the folder under a name whose checksum is right."""
    folder.mkdir(exist_ok=True)
    digest = xxhash.xxh3_128(content).hexdigest()
    path = folder / f"epoch-{epoch:04d}-step-{step:06d}-{digest}.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_bit_of_a_tensor_comes_back(checkpoints: Checkpoints, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    raw = torch.randint(0, 256, (3, 4, 16), dtype=torch.uint8, generator=generator)
    # Any bytes at all: a NaN's payload, a subnormal, -0.0.
    tensor = (raw % 2).bool() if dtype is torch.bool else raw.view(dtype)
    saved = {
        "plain": tensor,
        "turned": tensor.transpose(0, 2),
        "part": tensor[1:, ::2],
        "one": tensor[0, 0, 0].clone(),
        "none": tensor[:0],
    }
    checkpoints.save(Checkpoint(3, 7, saved, FACTS))
    loaded = checkpoints.latest()
    assert loaded is not None
    assert (loaded.epoch, loaded.step, loaded.facts) == (3, 7, FACTS)
    assert sorted(loaded.tensors) == sorted(saved)
    for name, before in saved.items():
        after = loaded.tensors[name]
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert bits_of(after) == bits_of(before), name


def test_bits_that_differ_are_seen_by_the_comparison_above() -> None:
    zero = torch.zeros(2)
    assert bits_of(zero) != bits_of(-zero)
    assert bits_of(zero) != bits_of(zero.double())


def test_a_view_is_saved_without_the_rest_of_its_memory(checkpoints: Checkpoints) -> None:
    base = torch.arange(10.0)
    checkpoints.save(Checkpoint(0, 1, {"view": base[2:5]}, {}))
    loaded = checkpoints.latest()
    assert loaded is not None
    assert loaded.tensors["view"].tolist() == [2.0, 3.0, 4.0]
    assert next(checkpoints.folder.iterdir()).stat().st_size < 1000


def test_without_a_folder_there_is_no_checkpoint(checkpoints: Checkpoints, folder: Path) -> None:
    assert checkpoints.latest() is None
    checkpoints.clear()
    assert not folder.exists()


def test_only_the_last_two_are_kept(checkpoints: Checkpoints, folder: Path) -> None:
    places = [(0, 1), (0, 2), (1, 0), (1, 2), (10, 0), (10, 999_999), (11, 0)]
    for number, at in enumerate(places):
        checkpoints.save(state(*at))
        kept = [f"epoch-{epoch:04d}-step-{step:06d}" for epoch, step in places[: number + 1][-2:]]
        assert names(folder) == kept
        assert place(checkpoints.latest()) == at


def test_the_same_place_again_replaces_it(checkpoints: Checkpoints, folder: Path) -> None:
    for at in ((0, 3), (1, 0), (1, 0)):
        checkpoints.save(state(*at))
    assert names(folder) == ["epoch-0000-step-000003", "epoch-0001-step-000000"]
    again = state(1, 0)
    checkpoints.save(Checkpoint(1, 0, again.tensors, {**again.facts, "seconds": 2.0}))
    assert names(folder) == ["epoch-0000-step-000003", "epoch-0001-step-000000"]
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.facts["seconds"] == 2.0


def test_the_last_one_before_a_place(checkpoints: Checkpoints) -> None:
    checkpoints.save(state(1, 2))
    checkpoints.save(state(2, 0))
    assert place(checkpoints.latest(before=(2, 0))) == (2, 0)
    assert place(checkpoints.latest(before=(1, 99))) == (1, 2)
    assert checkpoints.latest(before=(1, 1)) is None


def test_a_flipped_bit_is_noticed_wherever_it_is(
    checkpoints: Checkpoints, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 3))
    path = file_of(folder, 1, 3)
    whole = path.read_bytes()
    assert place(checkpoints.latest()) == (1, 3)
    assert capsys.readouterr().out == ""
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert place(checkpoints.latest()) == (1, 0), position
        said = capsys.readouterr().out
        assert said == f"checkpoint {path.name} is damaged: taking the one before it\n"
    path.write_bytes(whole)
    assert place(checkpoints.latest()) == (1, 3)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -100, -1])
def test_a_truncated_or_empty_file_is_noticed(
    checkpoints: Checkpoints, folder: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 3))
    path = file_of(folder, 1, 3)
    path.write_bytes(path.read_bytes()[:length])
    assert place(checkpoints.latest()) == (1, 0)
    assert "is damaged: taking the one before it" in capsys.readouterr().out


def test_bytes_after_the_end_are_noticed(checkpoints: Checkpoints, folder: Path) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 3))
    with file_of(folder, 1, 3).open("ab") as file:
        file.write(b"\0")
    assert place(checkpoints.latest()) == (1, 0)


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_when_both_are_damaged_it_starts_over(
    checkpoints: Checkpoints, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 3))
    for path in folder.iterdir():
        spoil(path)
    assert checkpoints.latest() is None
    first, second = capsys.readouterr().out.splitlines()
    assert file_of(folder, 1, 3).name in first
    assert first.endswith("taking the one before it")
    assert file_of(folder, 1, 0).name in second
    assert second.endswith("starting over")

    # Those of the new start are kept, although the damaged ones seem to be further on.
    checkpoints.save(state(0, 1))
    assert place(checkpoints.latest()) == (0, 1)
    checkpoints.save(state(0, 2))
    assert names(folder) == ["epoch-0000-step-000001", "epoch-0000-step-000002"]


def test_a_damaged_one_never_takes_the_place_of_a_whole_one(
    checkpoints: Checkpoints, folder: Path
) -> None:
    for at in ((1, 0), (1, 3)):
        checkpoints.save(state(*at))
    spoil(file_of(folder, 1, 3))
    assert place(checkpoints.latest()) == (1, 0)
    checkpoints.save(state(1, 2))
    assert names(folder) == ["epoch-0001-step-000000", "epoch-0001-step-000002"]
    # At the very place of the damaged one, with another content.
    spoil(file_of(folder, 1, 2))
    again = state(1, 2)
    checkpoints.save(Checkpoint(1, 2, again.tensors, {**again.facts, "seconds": 2.0}))
    assert names(folder) == ["epoch-0001-step-000000", "epoch-0001-step-000002"]
    assert place(checkpoints.latest()) == (1, 2)


def test_what_a_kill_leaves_is_never_loaded_and_is_removed(
    checkpoints: Checkpoints, folder: Path
) -> None:
    checkpoints.save(state(1, 0))
    content = file_of(folder, 1, 0).read_bytes()
    # Killed while writing; and between writing and naming, which a whole file may be.
    (folder / ".epoch-0002-step-000000.safetensors.4711.part").write_bytes(content[:50])
    (folder / "epoch-0002-step-000000.safetensors").write_bytes(content)
    assert place(checkpoints.latest()) == (1, 0)
    checkpoints.save(state(1, 1))
    assert names(folder) == ["epoch-0001-step-000000", "epoch-0001-step-000001"]


@pytest.mark.parametrize(
    "name",
    ["epoch-0009-step-000001-copy-00.safetensors", "epoch-x-step-y-z.safetensors", "notes.txt"],
)
def test_a_file_whose_name_is_no_checkpoints_is_passed_over(
    checkpoints: Checkpoints, folder: Path, name: str
) -> None:
    checkpoints.save(state(1, 0))
    (folder / name).write_text("mine")
    assert place(checkpoints.latest()) == (1, 0)


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ({**IDENTITY, "data": "d2"}, "data: 'd1' then, 'd2' now"),
        (
            {**IDENTITY, "settings": {"seed": 5, "member": {"name": "a"}}},
            "settings.seed: 0 then, 5 now",
        ),
        (
            {**IDENTITY, "settings": {"seed": 0, "member": {"name": "b", "mixup": 0.4}}},
            "settings.member.mixup: None then, 0.4 now",
        ),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_stays(
    checkpoints: Checkpoints, folder: Path, identity: dict[str, Any], expected: str
) -> None:
    checkpoints.save(state(1, 0))
    with pytest.raises(InputError) as refused:
        Checkpoints(folder, identity).latest()
    assert expected in refused.value.details
    assert str(file_of(folder, 1, 0)) in refused.value.what
    assert "--run NAME" in refused.value.fix
    assert str(folder) in refused.value.fix
    assert place(checkpoints.latest()) == (1, 0)


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL, None])
@pytest.mark.parametrize("checksum", [True, False])
def test_a_pickle_named_like_a_checkpoint_runs_no_code(
    checkpoints: Checkpoints,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    protocol: int | None,
    checksum: bool,
) -> None:
    checkpoints.save(state(1, 0))
    sprung = tmp_path / "sprung"
    if protocol is None:
        torch.save(Trap(sprung), tmp_path / "trap")
        content = (tmp_path / "trap").read_bytes()
    else:
        content = pickle.dumps(Trap(sprung), protocol=protocol)
    path = named_after_its_bytes(folder, 9, 1, content)
    if not checksum:
        path.rename(folder / f"epoch-0009-step-000001-{'0' * 32}.safetensors")
    assert place(checkpoints.latest()) == (1, 0)
    assert "is damaged: taking the one before it" in capsys.readouterr().out
    assert not sprung.exists()
    # The trap does work.
    if protocol is None:
        torch.load(tmp_path / "trap", weights_only=False)
    else:
        pickle.loads(content)
    assert sprung.exists()


def stranger(facts: object) -> bytes:
    """A whole safetensors file that was not written by us."""
    metadata = None if facts is None else {"facts": json.dumps(facts)}
    content: bytes = safetensors.torch.save({"x": torch.zeros(2)}, metadata)
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\xff" * 100,
        stranger(None),
        stranger([]),
        stranger("text"),
        stranger({"identity": IDENTITY}),
        safetensors.torch.save({"x": torch.zeros(2)}, {"facts": "{no json"}),
        safetensors.torch.save({"x": torch.zeros(2)}, {"other": "{}"}),
    ],
    ids=range(9),
)
def test_garbage_is_damaged_even_with_the_right_checksum(
    checkpoints: Checkpoints, folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(state(1, 0))
    named_after_its_bytes(folder, 9, 1, content)
    assert place(checkpoints.latest()) == (1, 0)
    assert "is damaged: taking the one before it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "expected", "fix"),
    [
        (
            SafetensorError("Error while serializing: I/O error: No space left (os error 28)"),
            "No space left on device",
            "Free some space",
        ),
        (OSError(28, "No space left on device"), "No space left on device", "Free some space"),
        (OSError(30, "Read-only file system"), "Read-only file system", "--out"),
        (SafetensorError("something else"), "something else", "--out"),
    ],
)
def test_on_a_full_disk_the_older_ones_stay(
    checkpoints: Checkpoints,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: str,
    fix: str,
) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 1))

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"the first half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        with pytest.raises(InputError) as refused:
            checkpoints.save(state(1, 2))
    assert str(refused.value).startswith(f"cannot write {folder}")
    assert expected in refused.value.what
    assert fix in refused.value.fix
    assert names(folder) == ["epoch-0001-step-000000", "epoch-0001-step-000001"]
    assert place(checkpoints.latest()) == (1, 1)
    checkpoints.save(state(1, 2))
    assert place(checkpoints.latest()) == (1, 2)


def test_a_disk_that_fails_at_the_last_moment_leaves_the_older_ones(
    checkpoints: Checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 1))

    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(InputError, match="Input/output error"):
            checkpoints.save(state(1, 2))
    assert names(folder) == ["epoch-0001-step-000000", "epoch-0001-step-000001"]


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        checkpoints = Checkpoints(disk / "checkpoint", IDENTITY)
        checkpoints.save(state(1, 0))
        large = Checkpoint(1, 1, {"w": torch.zeros(1 << 20)}, {})
        with pytest.raises(InputError, match="No space left on device") as refused:
            checkpoints.save(large)
        assert "Free some space" in refused.value.fix
        assert names(disk / "checkpoint") == ["epoch-0001-step-000000"]
        assert place(checkpoints.latest()) == (1, 0)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_clear_removes_everything_but_what_is_not_its_own(
    checkpoints: Checkpoints, folder: Path
) -> None:
    checkpoints.save(state(1, 0))
    checkpoints.save(state(1, 1))
    (folder / ".epoch-0002-step-000000.safetensors.4711.part").touch()
    (folder.parent / "history.csv").touch()
    checkpoints.clear()
    assert list(folder.parent.iterdir()) == [folder.parent / "history.csv"]
    checkpoints.clear()
    checkpoints.save(state(2, 0))
    assert place(checkpoints.latest()) == (2, 0)
