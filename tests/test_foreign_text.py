"""Text of others reaches the terminal as text: by one module; a rule forbids to print elsewhere."""

from __future__ import annotations

import ast
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tests.conftest import ROOT
from tests.terminal import shown
from twinrun import console as printing
from twinrun.console import Terminal, ask, box, console, relay, say, stacked, styled, tell
from twinrun.foreign import printable

ENGINE = ROOT / "twinrun"
# Markup, an emoji by name, a colour, a title of the window, a link, a bell, lines and columns that
# are written over, C1's own escape, marks that turn what follows around, a zero width, a byte that
# is no UTF-8, half a character.
HOSTILE = (
    "[/][bold]x[/bold]:bug:\x1b[31m\x1b]0;title\x07\x1b]8;;http://example.org\x1b\\\r\n\x08\x9b2J"
    "\u202egnp.\u2066\u200b\ufeff\u2028\udcff\ud800"
)
SPELLED = (
    r"[/][bold]x[/bold]:bug:\x1b[31m\x1b]0;title\x07\x1b]8;;http://example.org\x1b"
    "\\\\r\\n\\x08\\x9b2J"
    r"\u202egnp.\u2066\u200b\ufeff\u2028\xff\ud800"
)
# Who writes elsewhere than on the console, or lets another process do so, and what.
ALLOWED = {
    ("cli/grid.py", "imports rich.text.Text"): "a cell as `styled` and `stacked` make it",
    ("cluster/tasks.py", "traceback.print_exc"): "into the log of a training",
    ("twins/processes.py", "subprocess.Popen"): "this engine prints",
    ("compare/replay.py", "subprocess.Popen"): "this engine prints",
    ("verify/own_engine.py", "subprocess.Popen"): "this engine prints",
    ("export/standalone.py", "print"): "it runs without the engine",
}
# What of rich may be imported elsewhere: nothing that prints, or reads markup.
RICH = {
    "rich.cells.cell_len",
    "rich.console.Group",
    "rich.console.RenderableType",
    "rich.live.Live",
    "rich.progress.TaskID",
    "rich.progress_bar.ProgressBar",
    "rich.table.Table",
}
MARKUP = re.compile(
    r"\[/?(bold|dim|italic|red|green|yellow|cyan|blue|magenta|white)\b[^\]]*\]|\[/\]"
)
STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
OTHERS = re.compile(
    r"(print|input|pprint\.\w+|typer\.(echo|secho|confirm|prompt)|click\..*|logging\.(debug|info|warning|error|exception|critical|log)"
    r"|warnings\.(warn|showwarning)|traceback\.print_\w+|.*\.from_(markup|ansi))"
)


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert printable(HOSTILE) == SPELLED


@pytest.mark.parametrize(
    "text",
    [
        "leaf_rust",
        "Rost an Blättern",
        "سیب\u200cزمینی",
        "水稲\u3000葉",
        "👩\u200d🌾",
        "a\u00a0b",
        "",
    ],
)
def test_names_of_any_writing_stay(text: str) -> None:
    assert printable(text) == text


def test_names_that_differ_in_what_cannot_be_seen_are_shown_apart() -> None:
    assert len({printable(f"ru{mark}st") for mark in ("", "\u200b", "\u00ad", "\u2060")}) == 4


@pytest.mark.parametrize(
    "shows",
    [
        lambda: say(HOSTILE),
        lambda: tell(HOSTILE),
        lambda: say((HOSTILE, "bold")),
        lambda: box("title", HOSTILE),
        lambda: relay([HOSTILE]),
        lambda: console.print(HOSTILE, soft_wrap=True),
        lambda: console.print(stacked([(HOSTILE,), ("below",)]), soft_wrap=True),
        lambda: console.print(Panel(HOSTILE, title=styled(HOSTILE))),
        lambda: console.print(Text(HOSTILE), soft_wrap=True),  # one that rich itself has made
        lambda: console.print(table_of(HOSTILE)),
    ],
)
@pytest.mark.parametrize("colours", [False, True])
def test_each_way_to_print_shows_it_as_it_is(
    shows: Callable[[], None], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    system = "standard" if colours else None
    options = {"file": file, "width": 400, "force_terminal": colours, "color_system": system}
    monkeypatch.setattr(printing, "console", Terminal(**options))
    monkeypatch.setattr(printing, "error_console", Terminal(**options))
    monkeypatch.setattr(sys.modules[__name__], "console", printing.console)
    shows()
    written = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()) if colours else file.getvalue()
    unseen = [c for c in written if c != "\n" and printable(c) != c]
    assert unseen == []
    # Of what rich makes a Text of by itself it leaves out some control characters.
    assert SPELLED in written or r"[/][bold]x[/bold]:bug:\x1b[31m" in written


def table_of(text: str) -> Table:
    table = Table(text, title=text)
    table.add_row(text)
    return table


def test_a_table_is_as_wide_as_what_it_shows() -> None:
    lines = shown(table_of("a\x1b\x1bb"), width=60).splitlines()
    assert len({len(line.rstrip()) for line in lines[1:]}) == 1


def test_a_question_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: " c ")
    monkeypatch.setattr(console, "quiet", True)
    assert ask("which [red]\x1b[2J [a/b\x1b]: ") == "c"
    tell("not [red]\x1b[2J")
    told = capsys.readouterr().err
    assert told == r"which [red]\x1b[2J [a/b\x1b]: not [red]\x1b[2J" + "\n"


def test_a_bars_words_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, width=400, force_terminal=True, color_system=None)
    monkeypatch.setattr(printing, "console", terminal)
    with printing.progress_bars() as bars:
        bars.add_task(HOSTILE, total=1, note=HOSTILE)
    assert file.getvalue().count(SPELLED) >= 2


def test_what_a_library_warns_of_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    printing.relay_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(UserWarning("column [red]\x1b[2J"), UserWarning, "file.py", 7)
    told = capsys.readouterr().err
    assert r"UserWarning: column [red]\x1b[2J" in told
    assert "\x1b" not in told


def modules() -> list[Path]:
    return sorted(path for path in ENGINE.rglob("*.py") if path != ENGINE / "console.py")


def offences(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each print of its own, of markup, and of what prints past the console."""
    tree = ast.parse(source)
    documentation = {
        id(body[0].value)
        for node in ast.walk(tree)
        if isinstance(body := getattr(node, "body", None), list)
        and body
        and isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
    }
    kinds: dict[type[ast.AST], Callable[[Any], Iterator[str]]] = {
        ast.Import: _imports,
        ast.ImportFrom: _imports,
        ast.Call: _calls,
        ast.Attribute: _attributes,
        ast.Constant: _markup,
    }
    for node in ast.walk(tree):
        look = kinds.get(type(node))
        if look and id(node) not in documentation:
            yield from ((getattr(node, "lineno", 0), what) for what in look(node))


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    above = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for each in node.names:
        name = above + each.name
        of_rich = name.partition(".")[0] == "rich" and name not in RICH
        if of_rich or each.name == "error_console":
            yield f"imports {name}"


def _attributes(node: ast.Attribute) -> Iterator[str]:
    of = ast.unparse(node.value)
    allowed = {"print", "quiet", "is_terminal", "file"}
    if (of == "console" and node.attr not in allowed) or (
        of in STREAMS and node.attr in {"write", "writelines", "buffer"}
    ):
        yield f"{of}.{node.attr}"


def _markup(node: ast.Constant) -> Iterator[str]:
    if isinstance(node.value, str) and MARKUP.search(node.value):
        yield f"markup {node.value!r}"


def _calls(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {each.arg for each in node.keywords}
    if OTHERS.fullmatch(name):
        yield name
    if name == "console.print" and given:
        yield f"console.print with {', '.join(sorted(map(str, given)))}"
    started = name in {"subprocess.run", "subprocess.Popen", "subprocess.check_call"}
    if started and not given & {"capture_output", "stdout"}:
        yield name
    if name in {"os.system", "subprocess.call", "os.popen"}:
        yield name


def test_nobody_prints_but_the_console() -> None:
    found = [
        f"{path}, line {line}: {what}"
        for path in modules()
        for line, what in offences(path.read_text(encoding="utf-8"))
        if (path.relative_to(ENGINE).as_posix(), what) not in ALLOWED
    ]
    assert not found, f"{found}: print with `say`, style beside the text: (text, style)"


def test_each_exception_is_one() -> None:
    for name, what in ALLOWED:
        source = (ENGINE / name).read_text(encoding="utf-8")
        assert what in {offence for _, offence in offences(source)}, name


@pytest.mark.parametrize(
    "line",
    [
        "print(name)",
        "sys.stdout.write(name)",
        "sys.stderr.buffer.write(name)",
        "typer.echo(name)",
        "warnings.warn(name)",
        "logging.warning(name)",
        "Text.from_markup(name)",
        "traceback.print_exc()",
        'say(f"[bold]{name}[/]")',
        'say("[red]no")',
        "console.print(name, markup=True)",
        "console.out(name)",
        "console.log(name)",
        "from rich.markup import escape",
        "from rich.console import Console",
        "from rich.text import Text",
        "from rich import print",
        "import rich",
        "from twinrun.console import error_console",
        'subprocess.run(["git"], check=True)',
        'os.system("git")',
    ],
)
def test_the_rule_sees_each_way_to_print(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line",
    [
        'say(("same bits", "bold green"), f": {name}")',
        "console.print(tables.audit(found, lines))",
        '"""A docstring with [bold]markup[/]."""',
        'subprocess.run(["git"], check=True, capture_output=True)',
        'fix="Set [blend] or [cluster]."',
    ],
)
def test_the_rule_lets_pass_what_is_right(line: str) -> None:
    assert not list(offences(line))
