"""Foreign text through every command: none of it is obeyed by the terminal, forges a line, or ends
a command in an unforeseen way.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.carrying import COMMAND, carry_out
from tests.conftest import FIXTURE
from tests.report.made_run import CLASSES
from tests.run_folder.documents import record_member
from twinrun.foreign import printable
from twinrun.package.contents import FORMAT
from twinrun.repro.ledger import Ledger
from twinrun.run_folder.paths import RunFolder

# Markup, emoji by name, colours, titles, links, what moves, erases or rings; marks that turn the
# direction or cannot be seen; ends of lines; bytes that are no UTF-8; a line that another forges.
FORGED = "error: all is well"
FRAGMENTS = (
    *("[/]", "[red]", "[bold]x[/bold]", ":bug:"),
    *("\\[", "{0}", "%s"),
    *("\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http:\x1b\\", "\x1bc", "\x9b2J", "\x90"),
    *(
        "\x07",
        "\x08\x08",
        "\x7f",
        "\t",
        "\v",
        "\f",
        f"\r{FORGED}",
        f"\n{FORGED}",
        f"\u2028{FORGED}",
    ),
    *("\u202e", "\u202d", "\u2066", "\u2069", "\u200f", "\u061c", "\u200b", "\ufeff", "\u00ad"),
    *(
        "\udcff",
        "\udc9b",
        "\ue000",
        "\ufdd0",
        "é",
        "漢",
        "🦠",
        "\u0301" * 20,
        "'",
        '"',
        "=",
        ",",
        "-",
    ),
)


def drawn(seed: int) -> str:
    """A text of such fragments and of characters from anywhere."""
    draw = random.Random(f"foreign text {seed}")
    parts = draw.choices(FRAGMENTS, k=draw.randint(1, 6))
    parts += [chr(draw.choice((0x20, 0x80, 0x600, 0x2000, 0xFF00, 0xE0000)) + draw.randint(1, 255))]
    draw.shuffle(parts)
    return "".join(parts)


def file_name(text: str, suffix: str = "") -> str:
    """As a name that a disk takes: it takes every byte but two, and 255 of them."""
    name = "".join(c for c in text if c not in "/\0").encode("utf-8", "surrogateescape")
    return name[:200].decode("utf-8", "surrogateescape") + suffix


def in_utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def in_toml(text: str) -> str:
    """A basic string of TOML, every character of it escaped."""
    return '"' + "".join(f"\\U{ord(c):08x}" for c in in_utf8(text)) + '"'


# How a text of others comes to a command: what is prepared in the project, and the arguments.
Channel = Callable[[Path, str], list[str]]
CHANNELS: dict[str, Channel] = {}


def channel(function: Channel) -> Channel:
    CHANNELS[function.__name__] = function
    return function


def with_words(name: str, *words: str) -> None:
    """A channel of arguments alone; {} is the text, {file} a name that a disk takes."""

    def asked(_: Path, text: str) -> list[str]:
        kept = text.replace("\0", "")
        return [
            word.replace("{file}", file_name(text)).replace("{}", kept) if "{" in word else word
            for word in words
        ]

    CHANNELS[name] = asked


for name in ("run", "audit", "cache", "report a", "diff a b", "validate a", "init a --data b"):
    with_words(f"{name}: more than it takes", *name.split(), "{}")
SETTINGS = ("--config", "competition.toml")
for name in COMMAND.commands:
    with_words(f"{name}: an option that is not there", name, "--{}")
for name in ("run", "train", "audit", "blend", "twins", "check", "validate s.csv"):
    words = name.split()
    with_words(f"{name}: settings", *words, "--config", "{file}")
    with_words(f"{name}: profile", *words, *SETTINGS, "--profile", "{}")
    with_words(f"{name}: data", *words, *SETTINGS, "--data", "{file}")
    with_words(f"{name}: a key", *words, *SETTINGS, "--set", "{}=1")
    with_words(f"{name}: a value", *words, *SETTINGS, "--set", "run.device={}")
with_words("run: seeds", "run", *SETTINGS, "--seeds", "{}")
with_words("run: name", "run", *SETTINGS, "--run", "a/{}")
with_words("run: Ray", "run", *SETTINGS, "--ray", "{}")
with_words(
    "run: profile without data",
    *("run", *SETTINGS, "--set", "data.folder=no", "--without-data", "{}"),
)
with_words("train: member", "train", *SETTINGS, "{file}")
with_words("twins: member", "twins", *SETTINGS, "{}")
with_words("twins: perturbation", "twins", *SETTINGS, "--perturb", "{}")
with_words("blend: file", "blend", *SETTINGS, "{file}=1", "--output", "x.csv")
with_words("blend: weight", "blend", *SETTINGS, "a.csv={}", "--output", "x.csv")
with_words("blend: method", "blend", *SETTINGS, "--method", "{}")
with_words("blend: sample", "blend", *SETTINGS, "--out", "runs", "--sample", "{file}")
with_words("validate: submission", "validate", "{file}", *SETTINGS)
with_words("diff: runs", "diff", "{file}", "runs/full")
with_words("diff: member", "diff", "runs/full", "runs/other", "--member", "{}")
with_words("diff: grade", "diff", "runs/full", "runs/other", "--accept", "{}")
with_words("report: run", "report", "{file}")
with_words("package: run", "package", "{file}", "--for", "zindi")
with_words("package: host", "package", "runs/full", "--for", "{}")
with_words("verify: run", "verify", "{file}")
with_words("verify: member", "verify", "runs/full", "{}")
with_words("init: data", "init", "new", "--data", "{file}", "--yes")
with_words("init: train", "init", "new", "--data", "data", "--train", "{file}", "--yes")
with_words("cache: place", "cache", *SETTINGS, "--set", "run.cache={file}")
with_words("cache: out", "cache", *SETTINGS, "--out", "{file}")


def in_settings(old: str, new: str) -> Callable[[Path, str], list[str]]:
    """A channel of the settings file; {} is a string of TOML."""

    def asked(place: Path, text: str) -> list[str]:
        path = place / "competition.toml"
        content = path.read_text(encoding="utf-8")
        assert old in content
        path.write_text(content.replace(old, new.replace("{}", in_toml(text))), encoding="utf-8")
        return ["audit", *SETTINGS, "--out", "runs"]

    return asked


CLASS = '["leaf_rust", "stem_rust", "healthy_wheat"]'
CHANNELS |= {
    "settings: key": in_settings("[run]", "[run]\n{} = 1"),
    "settings: table": in_settings("[run]", "[{}.x]\ny = 1\n[run]"),
    "settings: profile": in_settings("[run]", "[profiles.{}]\nrun.seed = {}\n[run]"),
    "settings: member": in_settings("[members.a]", "[members.{}]\n[members.a]"),
    "settings: network": in_settings('"resnet18"', "{}"),
    "settings: name": in_settings('"Wheat"', "{}\nmetric = {}"),
    "settings: classes": in_settings(CLASS, "[{}, {}]"),
    "settings: layout": in_settings('folder = "data"', 'folder = "data"\nlayout = {}'),
    "settings: folder": in_settings('folder = "data"', "folder = {}"),
}


@channel
def images_that_are_copies(place: Path, text: str) -> list[str]:
    photo = next(path for path in (FIXTURE / "test").iterdir() if path.suffix == ".jpg")
    shutil.rmtree(place / "data")
    for part in (*(f"train/{name}" for name in CLASSES), "test"):
        (place / "data" / part).mkdir(parents=True)
        image = file_name(f"{part[-3:]}{in_utf8(text)}", ".jpg")
        shutil.copyfile(photo, place / "data" / part / image)
    return ["audit", *SETTINGS, "--out", "runs", "--lines", "50"]


@channel
def image_that_cannot_be_read(place: Path, text: str) -> list[str]:
    arguments = images_that_are_copies(place, text)
    (place / "data" / "test" / file_name(in_utf8(text), ".png")).write_bytes(b"no image")
    return arguments


@channel
def class_folder(place: Path, text: str) -> list[str]:
    image = place / "data" / "train" / file_name(text) / "a.png"
    image.parent.mkdir(parents=True)
    image.touch()
    return ["audit", *SETTINGS, "--set", "competition.classes=auto", "--out", "runs"]


@channel
def data_folder_of_a_new_project(place: Path, text: str) -> list[str]:
    data = place / file_name(text, "data")
    for part in (f"train/{file_name(in_utf8(text), 'a')}", "train/b", "test"):
        (data / part).mkdir(parents=True)
        for image in sorted((FIXTURE / "test").iterdir())[:2]:
            shutil.copyfile(image, data / part / f"{part[-1]}{image.name}")
    write_table(data / "sample.csv", ["id", text, "b"], [["a", text, 1]])
    return ["init", str(data / "new"), "--data", str(data), "--answer", f"{text}=x", "--yes"]


def write_table(path: Path, *rows: list[Any] | list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        header, lines = rows
        csv.writer(file).writerow([in_utf8(str(cell)) for cell in header])
        csv.writer(file).writerows([[in_utf8(str(cell)) for cell in line] for line in lines])


@channel
def labels_of_a_new_project(place: Path, text: str) -> list[str]:
    data = place / "photos"
    for part in ("train", "test"):
        (data / part).mkdir(parents=True)
        for image in sorted((FIXTURE / "test").iterdir())[:2]:
            shutil.copyfile(image, data / part / f"{part}{image.name}")
    rows = [[path.stem, text] for path in sorted((data / "train").iterdir())]
    write_table(data / "labels.csv", ["id", text], rows)
    write_table(data / file_name(in_utf8(text), ".csv"), ["id", text], rows)
    return ["init", "new", "--data", str(data), "--yes"]


@channel
def cells_of_a_submission(place: Path, text: str) -> list[str]:
    path = place / file_name(text, ".csv")
    write_table(path, ["ID", *CLASSES], [[text, 1, text, 0], [text, 1, 0, 0]])
    return ["validate", str(path), *SETTINGS]


@channel
def columns_of_a_sample(place: Path, text: str) -> list[str]:
    write_table(place / "sample.csv", [text, *CLASSES[:2], text], [[text, 1, 0, 0]])
    return ["validate", "x.csv", "--sample", "sample.csv", *SETTINGS]


@channel
def cells_of_files_to_blend(place: Path, text: str) -> list[str]:
    for number, name in enumerate((file_name(text, ".csv"), "b.csv")):
        write_table(place / name, ["id", *CLASSES], [[text, text, 0, number]])
    return ["blend", f"{file_name(text, '.csv')}=1", "b.csv=1", *SETTINGS, "--output", "x.csv"]


@channel
def what_ledgers_are_of(place: Path, text: str) -> list[str]:
    """Settings, packages and classes of two trainings, as `diff` shows them beside each other."""
    said = in_utf8(text)
    member = RunFolder(place / "runs" / "full").training("a")
    about = Ledger.read(member.ledger).about
    packages = {"environment": {"packages": {said: said}}, "code": said}
    settings = {"settings": {**about["settings"], "classes": [said, "b"], said: said}}
    Ledger({**about, **packages, **settings}).write(member.ledger)
    record_member(member.path)
    return ["diff", "runs/full", "runs/other"]


@channel
def run_in_a_strange_folder(place: Path, text: str) -> list[str]:
    shutil.copytree(place / "runs" / "full", place / "runs" / file_name(in_utf8(text)))
    return ["diff", f"runs/{file_name(in_utf8(text))}", "runs/other"]


@channel
def files_of_a_package(place: Path, text: str) -> list[str]:
    with zipfile.ZipFile(place / "p.zip", "w") as archive:
        archive.writestr(in_utf8(text) or "x", "")
        archive.writestr("package.json", json.dumps({"format": in_utf8(text)}))
    return ["verify", "p.zip", "--data", "data"]


@channel
def words_of_a_package(place: Path, text: str) -> list[str]:
    said = in_utf8(text)
    content = {"format": FORMAT, "host": said, "competition": said, "run": said, "commit": said}
    content |= {"forced": True, "why": [said, said], "files": {}}
    with zipfile.ZipFile(place / file_name(text, ".zip"), "w") as archive:
        archive.writestr("package.json", json.dumps(content))
    return ["verify", file_name(text, ".zip"), "--data", "data"]


def check(place: Path, asked: Channel, text: str) -> str:
    code, told = carry_out(asked(place, text))
    assert code in (0, 1, 2, 3, 4), told
    unseen = {c for c in told if c != "\n" and printable(c) != c}
    assert not unseen, told
    forged = [line for line in told.splitlines() if line.strip().startswith(FORGED)]
    assert not forged, told
    return told


@pytest.mark.parametrize("name", CHANNELS)
def test_no_command_lets_foreign_text_through(
    project: Path,
    name: str,
) -> None:
    # All of it at once, and the bytes that are no UTF-8 in front, where nothing cuts them off.
    told = check(project, CHANNELS[name], "\udcff" + "".join(FRAGMENTS[:26]))
    assert "\\x1b" in told


def test_a_terminal_that_lets_it_through_is_found_out(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("twinrun.console.shown", lambda text: text)
    with pytest.raises(AssertionError):
        check(project, CHANNELS["report: run"], "\x1b[2J")


def test_every_command_is_tried() -> None:
    assert {name.partition(":")[0].split()[0] for name in CHANNELS} >= set(COMMAND.commands)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_no_command_lets_any_foreign_text_through(
    whole: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in range(50):
        place = tmp_path / str(seed)
        shutil.copytree(whole, place)
        monkeypatch.chdir(place)
        check(place, CHANNELS[name], drawn(seed))
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(place)
