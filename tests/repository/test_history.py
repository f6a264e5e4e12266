"""The commits that the repository's files name are commits of its history."""

import re
import shutil
import subprocess

import pytest

from support.project import ROOT

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
