"""The page's charts of the server, in real headless Chromium."""

import re

import numpy as np
from selenium import webdriver

from support.browser import HURRY, OpenPage
from support.predictor_process import Predictor

# An OpenPage's `at_start`: the metrics are read often, and the clock says that two seconds passed each time.
STEADY = """{
const [timer, ask] = [setTimeout, fetch];
let readings = 0;
window.setTimeout = (action, wait) => timer(action, wait / 40);
window.fetch = (address, options) => {
  readings += address.endsWith("metrics");
  return ask(address, options);
};
Date.now = () => 2000 * readings;
}"""


def test_the_charts_show_the_requests_of_other_clients(browser: webdriver.Chrome, server: Predictor) -> None:
    opened = OpenPage(browser, server.page, HURRY)

    def is_shown() -> bool:
        server.post("/v1/models/flower-sample:predict", {"instances": [np.zeros((28, 28), int).tolist()]})
        return opened.text("mean-latency").endswith(" ms")

    opened.wait(is_shown)
    paths = "Array.from(chart.querySelectorAll('.line, .dot'), (one) => one.getAttribute('d')).join('')"
    drawn = opened.script(f"return Array.from(document.querySelectorAll('figure svg'), (chart) => {paths})")
    assert [len(path) > 10 for path in drawn] == [True, True, True]
    assert float(opened.text("rate")) > 0


def test_the_charts_have_a_gap_where_the_page_was_hidden(browser: webdriver.Chrome, server: Predictor) -> None:
    opened = OpenPage(browser, server.page, HURRY)
    runs = "return document.querySelector('#rate-chart .line')?.getAttribute('d').split('M').length - 1"
    opened.wait(lambda: opened.script(runs))
    before = opened.script(runs)
    opened.script("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    shown_again = opened.script("return Date.now()") + 9_000
    opened.wait(lambda: opened.script("return Date.now()") > shown_again)
    opened.script("delete document.hidden")
    opened.wait(lambda: opened.script(runs) > before)


def test_the_latency_of_a_lone_request_is_a_dot_with_a_scale(browser: webdriver.Chrome, server: Predictor) -> None:
    opened = OpenPage(browser, server.page, STEADY)
    opened.wait(lambda: opened.text("latency-note") == "no request just now")
    opened.take_sample("Bag")
    scale = re.compile(r"highest [\d.]+ ms, no request just now")
    opened.wait(lambda: scale.fullmatch(opened.text("latency-note")))
    dot = "const dot = document.querySelector('#latency-chart .dot'); "
    drawn = opened.script(dot + "return [dot.getAttribute('d'), getComputedStyle(dot).strokeWidth]")
    assert [re.sub(r"[\d.]+", "1", drawn[0]), drawn[1]] == ["M1,1h1", "7px"]
