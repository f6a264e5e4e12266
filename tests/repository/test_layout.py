"""The layout of src/: scripts that import no script, rooms that one can see at a glance.

Who may import whom among the rooms is checked by import-linter, which `make lint` runs.
"""

import ast
import re
from pathlib import Path

import pytest

from support.project import ROOT, SOURCE

SCRIPTS = sorted(path.stem for path in SOURCE.glob("*.py"))
FILES = sorted(SOURCE.rglob("*.py"))
INITS = [path for path in FILES if path.name == "__init__.py"]
FOLDERS = [SOURCE, *(path.parent for path in INITS)]


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE.parent))


def imported(path: Path) -> set[str]:
    """The first part of each name that a file imports, inside functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parents = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | parents}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_neither_the_library_nor_a_script_imports_a_script(path: Path) -> None:
    assert imported(path) & set(SCRIPTS) == set()


def test_the_four_steps_and_the_library_are_among_what_is_checked() -> None:
    steps = {"data_ingestion", "multi_worker_distributed_training", "model_selection", "predict_service"}
    assert steps < set(SCRIPTS)
    assert len(FILES) > 60 and len(FOLDERS) > 7


@pytest.mark.parametrize("path", INITS, ids=named)
def test_an_init_file_holds_a_docstring_and_nothing_else(path: Path) -> None:
    (only,) = ast.parse(path.read_text()).body
    assert isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)


def test_readme_shows_each_room_with_its_own_docstring() -> None:
    rooms = {path.parent.name: ast.parse(path.read_text()) for path in (SOURCE / "distml").glob("*/__init__.py")}
    told = {room: " ".join((ast.get_docstring(tree) or "").split()) for room, tree in rooms.items()}
    assert dict(re.findall(r"^\| `(\w+)/` \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)) == told


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_a_folder_shows_at_most_a_dozen_names(folder: Path) -> None:
    names = [path.name for path in folder.iterdir() if not path.name.startswith((".", "__pycache__"))]
    assert 1 < len(names) <= 12


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_module_has_at_most_250_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250
