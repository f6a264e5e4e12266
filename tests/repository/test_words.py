"""Names of tests and first words of docstrings; ruff checks that a function's docstring begins with a verb."""

import ast
import re
from pathlib import Path

import pytest

from support.project import ROOT

FILES = sorted(path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py"))
TESTS = [test for path in FILES for test in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)]


def test_the_name_of_each_test_has_at_most_70_characters() -> None:
    assert len(TESTS) > 500
    assert [test for test in TESTS if len(test) > 70] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_docstring_begins_with_a_question_word(path: Path) -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    assert [text for text in docstrings if re.match("(What|Which|Whether|Who|How)", text)] == []
