"""Clones of the project, in which the tests run make and environment.sh."""

import shutil
from pathlib import Path

import pytest

from support.clone import Clone, make_clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Make a clone without an environment."""
    return make_clone(tmp_path)


@pytest.fixture(scope="session")
def finished_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a `.venv` for `run` once, for tests to copy; its stamp names the clone in which it was made."""
    clone = make_clone(tmp_path_factory.mktemp("finished"))
    ended = clone.environment("run")
    assert ended.returncode == 0, ended.stderr
    return clone.folder / ".venv"


@pytest.fixture
def ready_clone(clone: Clone, finished_environment: Path) -> Clone:
    """Make a clone with an environment for `run`."""
    shutil.copytree(finished_environment, clone.folder / ".venv", symlinks=True)
    clone.change_stamp(r"folder .*", f"folder {clone.folder}")
    return clone
