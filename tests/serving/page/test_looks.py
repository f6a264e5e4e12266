"""The page on a phone, in light and dark mode, and beside a server that changes its version or stops."""

import json
import shutil
from pathlib import Path

import pytest
from selenium import webdriver

from distml.model import manifest
from distml.serving.page.page import Page
from distml.serving.release.served_version import ServedVersion
from distml.step.volume import Volume
from support.browser import HURRY, OpenPage
from support.predictor_process import predictor
from support.project import CLASS_NAMES

# Return [text, its colour, the colour behind it] of each visible element that has text of its own. A colour is a list:
# red, green and blue, 0 to 255, and perhaps its opacity.
COLOURS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (one) => {
  const colour = numbers(getComputedStyle(one).backgroundColor);
  return colour[3] === 0 ? behind(one.parentElement) : colour;
};
return Array.from(document.querySelectorAll("body *"))
  .filter((one) => one.checkVisibility() && !one.matches(":disabled, .unseen, .black *, script, noscript"))
  .filter((one) => Array.from(one.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim()))
  .map((one) => [one.textContent.trim(), numbers(getComputedStyle(one).color), behind(one)]);
"""
# Return the controls that are too small for a finger.
SMALL = """
return Array.from(document.querySelectorAll("button, .button, footer a"))
  .filter((one) => one.checkVisibility() && Math.min(one.offsetWidth, one.offsetHeight) < 44)
  .map((one) => one.outerHTML);
"""
# Return the lines of text that are not in the middle of their button.
OFF_CENTRE = """
const middle = (box) => box.left + box.width / 2;
const lines = (one) => {
  const range = new Range();
  range.selectNodeContents(one);
  return Array.from(range.getClientRects());
};
return Array.from(document.querySelectorAll(".tiles :is(button, .button)"))
  .filter((one) => lines(one).some((line) => Math.abs(middle(line) - middle(one.getBoundingClientRect())) > 2))
  .map((one) => one.outerHTML);
"""


def luminance(colour: list[float]) -> float:
    """Return the relative luminance of an sRGB colour, as WCAG 2.2 defines it."""
    shares = [value / 255 for value in colour[:3]]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[float], other: list[float]) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_of_two_colours_is_that_of_wcag() -> None:
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("content", [b"not an image", None], ids=["a refusal", "an answer"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(opened: OpenPage, scheme: str, content: bytes | None) -> None:
    opened.emulate(1280, scheme)
    opened.drop(content) if content else opened.take_sample("Bag")
    texts = opened.script(COLOURS)
    assert len(texts) > 50
    assert (luminance(texts[0][2]) < 0.1) == (scheme == "dark")
    assert [text for text, colour, behind in texts if contrast(colour, behind) < 4.5] == []


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_the_page_without_scrolling_sideways(opened: OpenPage, width: int) -> None:
    opened.emulate(width)
    opened.take_sample("T-shirt/top")
    opened.find("#forms button:last-child").click()
    assert opened.script("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert opened.script(SMALL) == []
    assert opened.script(OFF_CENTRE) == []


def from_file(browser: webdriver.Chrome, folder: Path, model_name: str, samples: list[str]) -> OpenPage:
    """Open a page without a server."""
    version = ServedVersion(1, {"digest": "abc", "class_names": CLASS_NAMES}, lambda images: images, samples)
    (folder / "page.html").write_bytes(Page(model_name).answer(version)[1])
    return OpenPage(browser, (folder / "page.html").as_uri())


def test_a_long_model_name_fits_on_a_phone(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened = from_file(browser, tmp_path, 60 * "n", ["AA=="])
    opened.emulate(360)
    assert opened.text("model") == 60 * "n"
    assert opened.script("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]


def test_a_page_without_samples_does_not_speak_of_them(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened = from_file(browser, tmp_path, "fashion", [])
    assert opened.answer == ("No image yet", "Give an image to begin.")
    assert "sample" not in opened.find("body").text.lower()


def test_a_screen_reader_gets_names_and_landmarks(opened: OpenPage) -> None:
    nodes = opened.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert [len(named[landmark]) for landmark in ("banner", "main", "contentinfo", "status")] == [1, 1, 1, 2]
    assert named["region"] == ["Image", "Answer", "The server, live", "The same request in a shell"]
    assert named["button"][:2] == ["Choose a file", "Clear drawing"]
    assert named["button"][2:12] == [f"Sample: {name}" for name in CLASS_NAMES]
    charts = [
        name for name in named["image"] if name.startswith(("Requests per second", "Mean latency", "Mean intensity"))
    ]
    assert len(charts) == 3
    assert "" not in named["image"] + named["heading"] + named["list"] + named["group"]


def test_the_page_shows_a_new_version_and_that_the_server_stopped(
    browser: webdriver.Chrome, published_volume: Volume, tmp_path: Path
) -> None:
    volume = Volume(tmp_path / "volume")
    shutil.copytree(published_volume.versions, volume.versions)
    with predictor(volume, tmp_path / "log") as server:
        opened = OpenPage(browser, server.page, HURRY)
        opened.take_sample("Bag")
        assert (opened.text("version"), opened.text("answer-version")) == ("1", "1")
        shutil.copytree(volume.version(1), volume.versions / ".2")
        facts = json.loads((volume.version(1) / "manifest.json").read_text())
        manifest.write(volume.versions / ".2", {**facts, "version": 2})
        (volume.versions / ".2").rename(volume.version(2))
        opened.wait(lambda: opened.text("version") == "2")
        opened.take_sample("Bag")
        assert opened.text("answer-version") == "2"
        server.process.kill()
        opened.wait(lambda: opened.text("state") == "does not answer")
        opened.take_sample("Bag")
    assert opened.answer == ("No answer", "The server cannot be reached. Check that it runs, then try again.")
