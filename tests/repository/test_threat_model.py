"""SECURITY.md: each line of the threat model names tests that exist."""

import re

import pytest

from support.project import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| who |", "| what |"))
]
# The page is read at one sitting.
MOST_LINES = 85


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_line_of_the_threat_model_names_its_tests(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[-1])
    assert named
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path} has no {name}"


def test_the_threat_model_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= MOST_LINES
    assert len(ROWS) > 10
