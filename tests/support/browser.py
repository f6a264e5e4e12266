"""The predictor's page in headless Chromium, as a person uses it."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

# Dispatch an event with a file, as a drop or a paste does.
_EVENT_WITH_FILE = """
const [kind, type, content, name, padding] = arguments;
const transfer = new DataTransfer();
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
transfer.items.add(new File([bytes, new Uint8Array(padding)], name, {type: "image/png"}));
const options = {bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer};
document.body.dispatchEvent(new window[kind](type, options));
"""

# An OpenPage's `at_start`: the page's timers and its clock run ten times as fast.
HURRY = """{
const [timer, clock, start] = [setTimeout, Date.now, Date.now()];
window.setTimeout = (action, wait) => timer(action, wait / 10);
Date.now = () => start + 10 * (clock() - start);
}"""


@contextmanager
def chromium(binary: str, driver: str) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "headless=new",
        "hide-scrollbars",
        "disable-dev-shm-usage",
        "disable-background-networking",
        "window-size=1280,1000",
    ):
        options.add_argument(f"--{argument}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to work for root
    browser = webdriver.Chrome(options, Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


class OpenPage:
    """The page at an address, opened anew; `at_start` is JavaScript that runs before the page's own."""

    def __init__(self, browser: webdriver.Chrome, address: str, at_start: str = ""):
        self.browser = browser
        self.emulate(1280)
        browser.get("about:blank")
        browser.get_log("browser")  # the messages of the page before
        added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": at_start})
        browser.get(address)
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        """Return the text of the element with this id."""
        return self.script("return document.getElementById(arguments[0]).textContent", name)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def wait(self, condition: Callable[[], Any], seconds: float = 10) -> None:
        WebDriverWait(self.browser, seconds, 0.05).until(lambda _: condition())

    def drop(self, content: bytes, name: str = "image.png", padding: int = 0) -> None:
        """Drop a file of `content` and of zeros as padding."""
        self.script(_EVENT_WITH_FILE, "DragEvent", "drop", base64.b64encode(content).decode(), name, padding)
        self.wait_for_answer()

    def paste(self, content: bytes) -> None:
        self.script(_EVENT_WITH_FILE, "ClipboardEvent", "paste", base64.b64encode(content).decode(), "image.png", 0)
        self.wait_for_answer()

    def take_sample(self, class_name: str) -> None:
        self.find(f'#samples [title="{class_name}"]').click()
        self.wait_for_answer()

    def wait_for_answer(self) -> None:
        self.wait(lambda: self.find("#answer").get_attribute("aria-busy") == "false")

    @property
    def answer(self) -> tuple[str, str]:
        """The two lines of the answer: class and probability, or the kind of a problem and its sentence."""
        return self.text("headline"), self.text("detail")

    @property
    def percentages(self) -> list[str]:
        return self.script("return Array.from(document.querySelectorAll('.percent'), (one) => one.textContent)")

    @property
    def seen(self) -> list[int]:
        """The grey levels of the small picture, row by row."""
        code = "return Array.from(document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data)"
        return self.script(code)[::4]

    def emulate(self, width: int, scheme: str = "light") -> None:
        """Set the width of a phone's or a computer's screen, and light or dark mode."""
        screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
