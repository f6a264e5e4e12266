"""Records of the past: the commits that git blame ignores, and CHANGELOG's tables of renamed paths.

In the unreleased tables each new path must exist, and each old path must not.
"""

import re
import shutil
import subprocess

import pytest

from support.project import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
UNRELEASED = CHANGELOG.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
ROW = re.compile(r"^\| (`.+) \| (.+) \|$", re.MULTILINE)
HASHES = re.findall(r"^[^#\n].*$", (ROOT / ".git-blame-ignore-revs").read_text(), re.MULTILINE)


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def whole_history() -> None:
    """Skip the test if this copy of the project does not have the whole history."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this copy of the project has no .git, or this machine has no git")
    if git("rev-parse", "--is-shallow-repository").stdout != "false\n":
        pytest.skip("this clone is shallow, or git cannot read it")


@pytest.mark.parametrize("commit", HASHES)
def test_each_commit_that_blame_ignores_is_in_the_history(commit: str, whole_history: None) -> None:
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0


def test_blame_ignores_at_least_the_commit_that_only_moved_files() -> None:
    assert len(HASHES) >= 1


def names(cell: str) -> list[str]:
    """Return the names between backticks in a cell of a table."""
    return re.findall(r"`([^`]+)`", cell)


def test_no_renamed_file_exists_under_its_old_name() -> None:
    old_names = [name.split("=")[-1].lstrip("/") for old, _ in ROW.findall(UNRELEASED) for name in names(old)]
    paths = [name if "." in name else f"src/{name}.py" for name in old_names]
    assert [path for path in paths if (ROOT / path).exists()] == []


def test_each_renamed_module_exists_under_its_new_name() -> None:
    new_names = []
    for old, new in ROW.findall(UNRELEASED):
        new_names += [name for name in names(new) if re.fullmatch(r"[a-z_/]+/[a-z0-9_]+", name)]
        for package in re.findall(r"the same names? in `([\w/]+)/`", new):
            new_names += [f"{package}/{name}" for name in names(old)]
    assert [name for name in new_names if not (ROOT / f"src/distml/{name}.py").is_file()] == []


def test_each_renamed_requirements_file_exists_under_its_new_name() -> None:
    new_names = {name for _, new in ROW.findall(UNRELEASED) for name in names(new) if name.startswith("requirements/")}
    assert [name for name in new_names if not (ROOT / name).is_file()] == []


def test_the_changelogs_tables_of_renamed_paths_are_found() -> None:
    rows = ROW.findall(CHANGELOG)
    assert ("`requirements-gpu.txt`", "`requirements/run-gpu.txt`") in rows
    assert sum(len(names(old)) for old, _ in rows) > 40
