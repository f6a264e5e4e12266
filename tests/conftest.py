"""The real data set, ingested once for all tests, and one short real training on it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Before anything imports TensorFlow: one thread per process, as the tests start several.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SOURCE = Path(__file__).parents[1] / "src"

from volume import Volume  # noqa: E402


def run_script(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a step script as a user would."""
    return subprocess.run(
        [sys.executable, str(SOURCE / script), *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,  # far above what it takes; a hang must end
        check=False,
    )


@pytest.fixture(scope="session")
def volume_with_data(tmp_path_factory) -> Volume:
    """A volume on which Fashion-MNIST has been ingested. Tests share it and must not change it."""
    volume = Volume(tmp_path_factory.mktemp("data"))
    ingestion = run_script("data_ingestion.py", "--volume", volume)
    assert ingestion.returncode == 0, ingestion.stderr
    return volume


@pytest.fixture
def volume(tmp_path, volume_with_data) -> Volume:
    """A volume of the test's own with the data set on it."""
    volume = Volume(tmp_path / "volume")
    shutil.copytree(volume_with_data.dataset, volume.dataset)
    return volume


@pytest.fixture(scope="session")
def trained_volume(tmp_path_factory, volume_with_data) -> Volume:
    """A volume with a run `first` of one epoch on two workers: all candidates of two models. Shared; do not change."""
    volume = Volume(tmp_path_factory.mktemp("trained"))
    shutil.copytree(volume_with_data.dataset, volume.dataset)
    training = run_script(
        "local_pipeline.py",
        *("--volume", volume, "--run", "first", "--epochs", 1, "--train-images", 12800),
        *("--models", "plain batchnorm", "--accuracy-floor", 0.5),
    )
    assert training.returncode == 0, training.stderr
    (volume.root / "output.txt").write_text(training.stdout)
    return volume
