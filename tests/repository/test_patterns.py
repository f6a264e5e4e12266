"""docs/patterns.md names functions and templates that exist."""

import ast
import re
from pathlib import Path

import pytest

from distml.training.group import tf_config
from support.project import ROOT

PAGE = ROOT / "docs/patterns.md"
# One or more names, then their file: `name`, `name`<br>[file](../path).
REFERENCES = [
    (name, path)
    for names, path in re.findall(r"((?:`[\w.-]+`(?:, )?)+)<br>\[[^\]]+\]\(\.\./([\w./-]+)\)", PAGE.read_text())
    for name in re.findall(r"`([^`]+)`", names)
]
PATTERNS = re.findall(r"^\| ([^|]+) \| [^|]+ \| (.*?) \| .* \|$", PAGE.read_text(), re.MULTILINE)
THEMES = ["Ingestion", "Distributed training", "Serving", "Workflow", "Operations"]


def defined(path: Path) -> set[str]:
    """Return the functions and classes of a module, and `Class.method` for methods."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{function.name}" for function in functions}
    return found


def test_each_function_named_by_a_pattern_exists() -> None:
    named = [(name, ROOT / path) for name, path in REFERENCES if path.endswith(".py")]
    assert len(named) > 40
    assert [f"{name} in {path}" for name, path in named if name not in defined(path)] == []


def test_each_template_named_by_a_pattern_exists() -> None:
    named = [(name, (ROOT / path).read_text()) for name, path in REFERENCES if path.endswith(".yaml")]
    assert len(named) > 10
    assert [name for name, text in named if not re.search(rf"name: {name}\n|^  {name}:", text, re.MULTILINE)] == []


def test_each_pattern_refers_to_a_file() -> None:
    rows = [(pattern, read) for pattern, read in PATTERNS if pattern not in ("pattern", "---")]
    assert len(rows) > 30
    assert [pattern for pattern, read in rows if "](../" not in read] == []


def test_each_theme_has_an_introduction_before_its_table() -> None:
    sections = dict(re.findall(r"^## (.*)\n\n(.*)$", PAGE.read_text(), re.MULTILINE))
    assert [theme for theme in THEMES if sections[theme].startswith("|")] == []
    assert set(sections) == {"Glossary", *THEMES}


def test_the_two_workers_by_hand_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    (value,) = re.findall(r"^export TF_CONFIG='(.*)'$", PAGE.read_text(), re.MULTILINE)
    groups = []
    for index in ("0", "1"):
        monkeypatch.setenv("TF_CONFIG", value.replace('"index": 0', f'"index": {index}'))
        groups.append(tf_config.read())
    assert [(group.size, group.index) for group in groups] == [(2, 0), (2, 1)]
