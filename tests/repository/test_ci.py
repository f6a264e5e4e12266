"""Which cluster `.ci/run` takes, shown by its head alone: the first program that it runs after that ends it here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.project import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a folder with .ci/run alone, no cluster beside it, and programs that stand for those the script runs."""
    clone = tmp_path / "project/clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", clone / ".ci/run")
    for name in ("dpkg", "python3.11", "go", "kubectl"):
        program(tmp_path / "bin" / name, "exit 0")
    program(tmp_path / "bin/make", "echo make $*; exit 9")
    return clone


def program(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def head(clone: Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `.ci/run` up to its first `make`, whose status is 9."""
    environment = {name: value for name, value in os.environ.items() if name != "CLUSTER_FOLDER"}
    environment["PATH"] = f"{clone.parents[1] / 'bin'}:{environment['PATH']}"
    environment |= {"CLUSTER_FOLDER": str(folder)} if folder else {}
    return subprocess.run([clone / ".ci/run"], env=environment, capture_output=True, text=True, check=False)


def test_a_named_folder_without_a_cluster_fails_at_the_start(clone: Path) -> None:
    folder = clone.parents[1] / "nowhere"
    done = head(clone, folder)
    said = f".ci/run: CLUSTER_FOLDER is {folder}, which has no program up: name a folder that has, or unset it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_no_cluster_at_all_is_said_and_the_rest_runs(clone: Path) -> None:
    done = head(clone)
    said = ".ci/run: no CLUSTER_FOLDER and no ../shared/cluster/up: the tests on a cluster are skipped\n"
    assert (done.returncode, done.stdout, done.stderr) == (9, "make lint\n", said)


def test_a_named_folder_with_a_cluster_is_taken(clone: Path) -> None:
    folder = clone.parents[1] / "here"
    program(folder / "up", "exit 0")
    done = head(clone, folder)
    assert (done.returncode, done.stdout, done.stderr) == (9, "make lint\n", "")


def test_the_folder_beside_the_clone_is_the_default(clone: Path) -> None:
    program(clone.parent / "shared/cluster/up", "exit 0")
    done = head(clone)
    assert (done.returncode, done.stdout, done.stderr) == (9, "make lint\n", "")
