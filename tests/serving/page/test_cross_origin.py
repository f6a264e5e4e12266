"""A page of another origin that asks the predictor from a browser."""

import functools
import http.server
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from distml.step.volume import Volume
from support.local_server import running
from support.predictor_process import PREDICT, predictor

# Resolves to the class of the answer, or to the error that the browser gives a page that may not read it.
ASK = """
const [address, done] = arguments;
const body = JSON.stringify({instances: [Array(784).fill(0)]});
fetch(address, {method: "POST", headers: {"content-type": "application/json"}, body})
  .then((answer) => answer.json()).then((answer) => done(Object.keys(answer).sort()), (error) => done(error.message));
"""


@pytest.fixture(scope="module")
def other_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve an empty folder, whose pages have another origin than the predictor's."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path_factory.mktemp("other"))
    with running(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield server.server_port


def test_a_browser_lets_only_allowed_origins_read_answers(
    browser: webdriver.Chrome, other_port: int, published_volume: Volume, tmp_path: Path
) -> None:
    origin = f"http://127.0.0.1:{other_port}"
    with predictor(published_volume, tmp_path / "log", "--cors-origins", origin) as running:
        answers = []
        for page in (origin, f"http://localhost:{other_port}"):
            browser.get(page)
            answers.append(browser.execute_async_script(ASK, f"http://127.0.0.1:{running.http_port}{PREDICT}"))
    assert answers == [["model_name", "model_version", "predictions"], "Failed to fetch"]
