"""Fixtures: one browser for all tests, and the page opened anew for each."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from support.browser import OpenPage, chromium
from support.predictor_process import Predictor
from support.programs import program_or_skip


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    binary, driver = program_or_skip("chromium", "chromium"), program_or_skip("chromedriver", "chromium-driver")
    with chromium(binary, driver) as running:
        yield running


@pytest.fixture
def opened(browser: webdriver.Chrome, server: Predictor) -> OpenPage:
    return OpenPage(browser, server.page)
