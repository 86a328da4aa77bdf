"""What is drawn for a case: odd values, odd names, damage of a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

LONG = "9" * 5000
NUMBERS = (
    *("0", "-0", "1", "-1", "2", "7", "16", "0.1", "0.5", "1.0", "-0.5", "1e-3", "1e3", "3.7"),
    *("nan", "-nan", "inf", "-inf", "1e400", "-1e400", "5e-324", "1e308", "1e32", "1e-320"),
    *(str(2**31), str(2**63 - 1), str(2**63), str(-(2**63)), str(10**32), LONG, f"0x{'f' * 5000}"),
    *("0x10", "0b11", "0o17", "1_000", "1_", "+5", "00", "1.", ".5", "1,5", "1e", "0x"),
)
WORDS = (
    *(
        "",
        "a",
        "b",
        "A",
        "auto",
        "none",
        "true",
        "false",
        "null",
        "None",
        "balanced",
        "cpu",
        "cuda",
    ),
    *(
        "resnet18",
        "resnet_18",
        "timm/resnet18",
        "timm/",
        "timm/../x",
        "geometric",
        "table",
        "flips",
    ),
    *(
        "log_loss",
        "error",
        "probability",
        "label",
        "id",
        "ID",
        "leaf_rust",
        "drop",
        "mean",
        "wandb",
    ),
)
STRANGE = (
    *("\0", "a\0b", "\x1b[31m", "\x7f", "\t", "\r", "\n", "\u2028", "\u202e", "\ufeff", "\udcff"),
    *("é", "漢字", "🦠", "e\u0301", "x" * 300, "x" * 10_000, " ", " a", "a ", ".", "..", "/", "\\"),
    *("a/b", "a\\b", "-x", "--set", "a=b", "a.b", "'", '"', "`", "#", "[", "]", "{", "}", "%s"),
    *("{0}", "[red]", "[/]", "~", "~nobody", "$HOME", "*", "CON", "s3://", "file:///etc/passwd"),
)
CELLS = (
    *("", " ", "0", "1", "0.5", "-1", "2", "1e-30", "1e400", "nan", "NaN", "NA", "inf", "-inf"),
    *("0,5", "1_0", "0x1", "True", "٣", "½", "=1+1", "@a", "1e", "--", ".", "1;2", "0.1 0.2"),
    *('"', '""', "'", "\0", "\x1b", "\u2028", "\ufeff", "x" * 5000, "9" * 400, "1970-01-01"),
)


def pick(draw: Random, *pools: Sequence[str]) -> str:
    """One of one of the pools."""
    return draw.choice(draw.choice(pools))


def toml_value(draw: Random, depth: int = 0) -> str:
    """A value of TOML, or nearly one."""
    kind = draw.randrange(12 if depth < 3 else 6)
    if kind < 3:
        return pick(draw, NUMBERS)
    if kind < 5:
        return toml_text(draw, pick(draw, WORDS, STRANGE))
    if kind == 5:
        return draw.choice(("true", "false", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"))
    if kind == 6:
        return pick(draw, WORDS, STRANGE, NUMBERS)  # a bare word
    if kind < 9:
        inner = [toml_value(draw, depth + 1) for _ in range(draw.randrange(4))]
        return f"[{', '.join(inner)}]"
    if kind < 11:
        pairs = [
            f"{toml_key(draw)} = {toml_value(draw, depth + 1)}" for _ in range(draw.randrange(3))
        ]
        return f"{{ {', '.join(pairs)} }}"
    levels = draw.choice((10, 19, 25, 100, 3000))
    return "[" * levels + "]" * levels


def toml_text(draw: Random, text: str) -> str:
    """A text as TOML has it: escaped, or as it is."""
    if draw.random() < 0.8:
        return '"' + "".join(c if c.isalnum() else _escaped(c) for c in text) + '"'
    return f'"{text}"'


def _escaped(character: str) -> str:
    number = ord(character)
    return "?" if 0xD800 <= number < 0xE000 else f"\\U{number:08x}"


def toml_key(draw: Random) -> str:
    """A key, or nearly one."""
    return draw.choice(
        (pick(draw, WORDS), toml_text(draw, pick(draw, WORDS, STRANGE)), pick(draw, STRANGE))
    )


def _flip(draw: Random, data: bytearray, at: int) -> None:
    data[at] ^= 1 << draw.randrange(8)


def _insert(draw: Random, data: bytearray, at: int) -> None:
    data[at:at] = draw.choice(
        (b"\0", b"\xff", b'"', b"\n", b"\r", b",", b"\xef\xbb\xbf", b"[", b"#", b"=", b"\xc3")
    )


def _remove(draw: Random, data: bytearray, at: int) -> None:
    del data[at : at + draw.randint(1, 40)]


def _repeat(draw: Random, data: bytearray, at: int) -> None:
    data[at:at] = bytes(data[at : at + draw.randint(1, 60)])


def _cut(_: Random, data: bytearray, at: int) -> None:
    del data[at:]


_DAMAGE: tuple[Callable[[Random, bytearray, int], None], ...] = (
    *(_flip, _insert, _remove, _repeat),
    _cut,
)


def damaged(draw: Random, text: str) -> bytes:
    """A text as bytes, in UTF-8 unless it is told otherwise by chance, with some places damaged."""
    encoding = draw.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "latin-1", "utf-32"))
    data = bytearray(text.encode(encoding, "replace"))
    for _ in range(draw.choice((0, 1, 1, 1, 2, 5))):
        if data:
            draw.choice(_DAMAGE)(draw, data, draw.randrange(len(data)))
    if draw.random() < 0.1:
        data = data.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n")))
    return bytes(data)
