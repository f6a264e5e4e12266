"""What is said of the past: the commits that git blame passes over, and CHANGELOG's tables of renamed paths.

Of the tables those not released are compared with the files: they name what is there and nothing that is gone.
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
    """Skip where the history is not all here."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this copy of the project has no .git, or this machine has no git")
    if git("rev-parse", "--is-shallow-repository").stdout != "false\n":
        pytest.skip("this clone is shallow, or git cannot read it")


@pytest.mark.parametrize("commit", HASHES)
def test_a_commit_that_blame_passes_over_is_one_of_the_history(commit: str, whole_history: None) -> None:
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0


def test_blame_passes_over_at_least_the_pure_move() -> None:
    assert len(HASHES) >= 1


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_a_renamed_file_is_no_longer_where_it_was() -> None:
    before = [name.split("=")[-1].lstrip("/") for old, _ in ROW.findall(UNRELEASED) for name in names(old)]
    paths = [name if "." in name else f"src/{name}.py" for name in before]
    assert [path for path in paths if (ROOT / path).exists()] == []


def test_each_module_is_where_the_changelog_says() -> None:
    now = []
    for old, new in ROW.findall(UNRELEASED):
        now += [name for name in names(new) if re.fullmatch(r"[a-z_/]+/[a-z0-9_]+", name)]
        for room in re.findall(r"the same names? in `([\w/]+)/`", new):
            now += [f"{room}/{name}" for name in names(old)]
    assert [name for name in now if not (ROOT / f"src/distml/{name}.py").is_file()] == []


def test_each_file_of_the_requirements_is_where_the_changelog_says() -> None:
    now = {name for _, new in ROW.findall(UNRELEASED) for name in names(new) if name.startswith("requirements/")}
    assert [name for name in now if not (ROOT / name).is_file()] == []


def test_the_tables_are_read() -> None:
    rows = ROW.findall(CHANGELOG)
    assert ("`requirements-gpu.txt`", "`requirements/run-gpu.txt`") in rows
    assert sum(len(names(old)) for old, _ in rows) > 40
