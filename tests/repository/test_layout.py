"""The layout of src/: no script imports a script, and folders and modules stay small.

import-linter, which `make lint` runs, checks the imports between the packages of distml.
"""

import ast
import re
from pathlib import Path

import pytest

from support.project import ROOT, SOURCE

SCRIPTS = sorted(path.stem for path in SOURCE.glob("*.py"))
FILES = sorted(SOURCE.rglob("*.py"))
PAGE = [path for path in sorted((SOURCE / "distml/serving/page").iterdir()) if path.suffix in (".css", ".html", ".js")]
INITS = [path for path in FILES if path.name == "__init__.py"]
FOLDERS = [SOURCE, *(path.parent for path in INITS)]


def path_in_project(path: Path) -> str:
    return str(path.relative_to(SOURCE.parent))


def imported(path: Path) -> set[str]:
    """Return the first part of each name that a file imports, inside functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parents = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | parents}


@pytest.mark.parametrize("path", FILES, ids=path_in_project)
def test_no_module_imports_a_script(path: Path) -> None:
    assert imported(path) & set(SCRIPTS) == set()


def test_the_layout_checks_cover_the_four_steps_and_the_library() -> None:
    steps = {"data_ingestion", "multi_worker_distributed_training", "model_selection", "predict_service"}
    assert steps < set(SCRIPTS)
    assert len(FILES) > 60 and len(FOLDERS) > 7 and len(PAGE) > 5


@pytest.mark.parametrize("path", INITS, ids=path_in_project)
def test_an_init_file_contains_only_a_docstring(path: Path) -> None:
    (only,) = ast.parse(path.read_text()).body
    assert isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)


def test_readme_describes_each_package_by_its_docstring() -> None:
    trees = {path.parent.name: ast.parse(path.read_text()) for path in (SOURCE / "distml").glob("*/__init__.py")}
    docstrings = {package: " ".join((ast.get_docstring(tree) or "").split()) for package, tree in trees.items()}
    assert dict(re.findall(r"^\| `(\w+)/` \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)) == docstrings


@pytest.mark.parametrize("folder", FOLDERS, ids=path_in_project)
def test_a_source_folder_contains_at_most_12_names(folder: Path) -> None:
    names = [path.name for path in folder.iterdir() if not path.name.startswith((".", "__pycache__"))]
    assert 1 < len(names) <= 12


@pytest.mark.parametrize("path", [*FILES, *PAGE], ids=path_in_project)
def test_a_module_has_at_most_250_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250
