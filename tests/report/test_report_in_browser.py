"""The report's page in a real browser: drawn, quiet, readable on every screen and by keyboard.

Chromium or Chrome is taken from the system; without one these tests are skipped.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, ElementHandle, Page, sync_playwright

from tests.report.made_run import make_run, write_audit, write_blend, write_twins
from twinrun.report.report import write_report

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LONG = "a class whose name is very long and has no end " + "x" * 50
EVIL = "<script>document.title='broken into'</script><img src=http://example.org/x>"

# The contrast of every text that is seen, by WCAG 2: (L1 + 0.05) / (L2 + 0.05), where L is the
# relative luminance; half-transparent colours are laid over what is behind them.
CONTRASTS = """() => {
  const rgba = text => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return n.length === 3 ? [...n, 1] : n;
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement)
      layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = colour => colour
    .map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const box = element.getBoundingClientRect();
    if (!node.data.trim() || element.closest("style, .skip, [aria-hidden]") || !box.width) continue;
    const style = getComputedStyle(element);
    const paper = behind(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(over(rgba(colour), paper)), light(paper)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, `${node.data.trim().slice(0, 40)} (${element.tagName})`]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"needs one of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        # Within a container there is no sandbox to be had.
        opened = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with everything in it, and with names that nobody should choose."""
    folder = tmp_path_factory.mktemp("report")
    run = make_run(
        folder,
        classes=["leaf_rust", LONG, "gesund 🌾 'é' & co"],
        ids=["<script>alert(1)<&'\">", "y" * 120],
        count=40,
        doubt=4.0,
        folds=2,
    )
    write_audit(run, title=EVIL, image="<script>alert(1)<&'\">")
    write_blend(run, {"a": 0.75, "b": 0.25}, why=EVIL)
    write_twins(run)
    return write_report(run)


@pytest.fixture
def complaints() -> list[str]:
    """What the page or the browser complained about, and each request beside the page itself."""
    return []


def opened(
    browser: Browser, path: Path, complaints: list[str], width: int = 1280, **media: Any
) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 800}, **media)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))

    def requested(request: Any) -> None:
        if request.url != path.as_uri() and not request.url.startswith("data:"):
            complaints.append(request.url)

    page.on("request", requested)
    page.goto(path.as_uri(), wait_until="load")
    return page


def pixels(element: Page | ElementHandle) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"))


def colours_of(element: ElementHandle) -> int:
    return len(np.unique(pixels(element).reshape(-1, 3), axis=0))


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_it_is_drawn_without_a_word_and_without_a_request(
    browser: Browser, report: Path, complaints: list[str], scheme: Any
) -> None:
    page = opened(browser, report, complaints, color_scheme=scheme)
    assert page.title() == "Run full \N{EN DASH} Wheat"
    for details in page.query_selector_all("details"):
        details.evaluate("each => each.open = true")
    drawn = page.query_selector_all("svg, img")
    assert len(drawn) > 20
    for picture in drawn:
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] > 60
        assert box["height"] > 60
        assert colours_of(picture) > 3, picture.get_attribute("alt")
    lines = page.query_selector_all("svg path[style*='var(--first)']")
    colours = {each.evaluate("path => getComputedStyle(path).stroke") for each in lines} - {"none"}
    assert colours == {"rgb(0, 114, 178)" if scheme == "light" else "rgb(95, 183, 234)"}
    assert page.evaluate("document.querySelectorAll('script').length") == 0
    assert complaints == []
    page.close()


def test_a_blank_picture_and_a_request_would_be_seen(
    browser: Browser, report: Path, complaints: list[str], tmp_path: Path
) -> None:
    html = report.read_text(encoding="utf-8")
    broken = tmp_path / "report.html"
    broken.write_text(
        html.replace('<g id="curves-1-', '<g display="none" id="curves-1-', 1)
        .replace("<h1>", "<script>1</script><h1>")
        .replace("</main>", '<img src="https://example.org/x.png"></main>'),
        encoding="utf-8",
    )
    page = opened(browser, broken, complaints)
    drawn = page.query_selector_all("svg")
    assert colours_of(drawn[0]) == 1
    assert colours_of(drawn[1]) > 3
    # The page's policy forbids both, and the browser says so.
    assert sum("Content Security Policy" in each for each in complaints) == 2
    assert "https://example.org/x.png" in complaints
    page.close()


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_screen_is_too_narrow(
    browser: Browser, report: Path, complaints: list[str], width: int
) -> None:
    page = opened(browser, report, complaints, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # A table that is too wide moves within its own box.
    boxes = page.query_selector_all(".scroll")
    assert boxes
    if width == 360:
        wide = [b for b in boxes if b.evaluate("box => box.scrollWidth > box.clientWidth")]
        assert wide
        wide[0].evaluate("box => box.scrollLeft = 50")
        assert wide[0].evaluate("box => box.scrollLeft") > 0
    page.close()


def test_a_page_that_is_too_wide_would_be_seen(
    browser: Browser, report: Path, complaints: list[str], tmp_path: Path
) -> None:
    html = report.read_text(encoding="utf-8")
    broken = tmp_path / "report.html"
    broken.write_text(html.replace("overflow-x: auto", "overflow-x: visible"), encoding="utf-8")
    page = opened(browser, broken, complaints, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") > 360
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_paper(
    browser: Browser, report: Path, complaints: list[str], scheme: Any
) -> None:
    page = opened(browser, report, complaints, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [each for each in contrasts if each[0] < 4.5] == []
    page.close()


@pytest.mark.slow
def test_dark_and_print_have_papers_of_their_own(
    browser: Browser, report: Path, complaints: list[str]
) -> None:
    brightness = {}
    for name, scheme in (("light", "light"), ("dark", "dark"), ("print", "dark")):
        page = opened(browser, report, complaints, color_scheme=scheme)
        page.emulate_media(media="print" if name == "print" else "screen")
        brightness[name] = float(np.median(pixels(page)))
        seen = page.is_visible("nav")
        assert seen == (name != "print")
        if name == "print":
            # On paper nothing can be opened.
            assert page.is_visible("details table")
            assert page.pdf(format="A4").startswith(b"%PDF")
        page.close()
    assert brightness["dark"] < 60
    assert brightness["light"] > 230
    assert brightness["print"] == 255
    assert complaints == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    browser: Browser, report: Path, complaints: list[str]
) -> None:
    page = opened(browser, report, complaints, width=360)
    wanted = page.evaluate(
        "[...document.querySelectorAll('a, summary, .scroll')]"
        ".filter(each => each.checkVisibility()).length"
    )
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    reached = 1
    while reached < 200:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached += 1
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
    assert reached == wanted
    summary = page.query_selector("summary")
    assert summary is not None
    assert not page.is_visible("details table")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.is_visible("details table")
    page.evaluate("document.querySelector('.skip').focus()")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.close()


def test_a_screen_reader_hears_names_for_everything(
    browser: Browser, report: Path, complaints: list[str]
) -> None:
    page = opened(browser, report, complaints)
    for role, count in (("banner", 1), ("navigation", 1), ("main", 1), ("contentinfo", 1)):
        assert page.get_by_role(role).count() == count, role  # type: ignore[arg-type]
    headings = page.get_by_role("heading")
    assert headings.count() > 12
    assert page.get_by_role("region", name="Verdict").count() == 1
    assert page.get_by_role("img", name="Learning curves of a.").count() == 1
    table = page.get_by_role("table", name="2 members")
    assert table.get_by_role("columnheader").count() == 7
    assert table.get_by_role("rowheader").all_inner_texts() == ["a", "b"]
    page.close()
