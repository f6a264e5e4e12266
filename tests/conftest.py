"""The real data set, ingested once for all tests, and one short real training on it."""

from distml.step.load_tensorflow import tf

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from distml.data import published_files, sources
from distml.step.volume import Volume
from support.network import DEAD_PROXY
from support.project import CLASS_NAMES, SOURCE, run_script

# Connections within this machine use no proxy; a download of the data set uses the caller's.
for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
    if name != "no_grpc_proxy" or name in os.environ:
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1"]))

# KServe parses the command line on import, and would read pytest's options as its own.
sys.argv = sys.argv[:1]

# A shell that starts the tests in the background makes them ignore SIGINT, which the tests of Ctrl-C need.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Report TensorFlow's version. As in each script, TensorFlow is loaded before a module imports Keras."""
    return f"TensorFlow {tf.__version__}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Remove the timeout of tests on a cluster, which limit their own, longer waits."""
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.timeout(0))


class Ingestions(NamedTuple):
    """The results of three ingestions into one volume: one that was killed, then two at once."""

    volume: Volume
    killed: int
    data_after_the_kill: bool
    outputs: list[str]


@pytest.fixture
def small_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with four small files in place of the published ones."""
    folder = tmp_path / "source"
    folder.mkdir()
    published = {}
    for name in published_files.FILES:
        (folder / name).write_bytes(gzip.compress(name.encode()))
        published[name.removesuffix(".gz")] = hashlib.sha256(name.encode()).hexdigest()
    monkeypatch.setattr(published_files, "CONTENT_SHA256", published)
    published_files.check_files(folder)
    return folder


@pytest.fixture(scope="session")
def source_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch Fashion-MNIST's four .gz files, once for all tests, from the source that data ingestion would use."""
    return sources.obtain("auto", tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def ingestions(tmp_path_factory: pytest.TempPathFactory, source_folder: Path) -> Ingestions:
    volume = Volume(tmp_path_factory.mktemp("data"))
    options = ["--volume", str(volume), "--source", str(source_folder)]
    command = [sys.executable, str(SOURCE / "data_ingestion.py"), *options]
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("temporary"))}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    while not list(volume.dataset.parent.glob(".*/.tfds/fashion_mnist/*incomplete*/*")):  # until TFDS is writing
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    killed, data = first.wait(), volume.dataset.exists()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return Ingestions(volume, killed, data, [process.communicate()[0] for process in both])


@pytest.fixture(scope="session")
def volume_with_data(ingestions: Ingestions) -> Volume:
    """Return a volume with the ingested data set. Shared; do not change."""
    assert ingestions.volume.dataset.exists(), ingestions.outputs
    return ingestions.volume


@pytest.fixture
def volume(tmp_path: Path, volume_with_data: Volume) -> Volume:
    """Return a volume for one test with a link to the shared data set, which must not be changed."""
    return with_data(tmp_path / "volume", volume_with_data)


def with_data(folder: Path, shared: Volume) -> Volume:
    """Return a volume in `folder` with a link to the data set of `shared`."""
    folder.mkdir(exist_ok=True)
    volume = Volume(folder)
    volume.dataset.parent.symlink_to(shared.dataset.parent)
    return volume


@pytest.fixture(scope="session")
def trained_volume(tmp_path_factory: pytest.TempPathFactory, volume_with_data: Volume) -> Volume:
    """Return a volume with a run `first`: two models, three epochs, two workers. Shared; do not change.

    The pipeline runs in an environment with a dead proxy.
    """
    volume = with_data(tmp_path_factory.mktemp("trained"), volume_with_data)
    training = run_script(
        "local_pipeline.py",
        *("--volume", volume, "--run", "first", "--epochs", 3, "--train-images", 6400),
        *("--models", "plain batchnorm", "--accuracy-floor", 0.5),
        **DEAD_PROXY,
    )
    assert training.returncode == 0, training.stderr
    (volume.root / "output.txt").write_text(training.stdout)
    return volume


@pytest.fixture(scope="session")
def published_volume(tmp_path_factory: pytest.TempPathFactory, volume_with_data: Volume) -> Volume:
    """Return a volume with one published version: an untrained model with uneven answers. Shared; do not change."""
    from distml.model import manifest, saved_model
    from distml.model.variants import MODELS
    from distml.publishing.versions import conversion, publication

    volume = with_data(tmp_path_factory.mktemp("published"), volume_with_data)
    network = MODELS["batchnorm"]()
    random = np.random.default_rng(1)
    network.set_weights(
        [weight + random.normal(0, 0.1, weight.shape).clip(-0.3, 0.3) for weight in network.get_weights()]
    )
    candidate = volume.candidate("test", "batchnorm", 1)
    saved_model.export(network, CLASS_NAMES, candidate)
    manifest.write(candidate, {"model": "batchnorm", "class_names": CLASS_NAMES})
    model, _ = saved_model.load(candidate)
    publication.publish(volume, candidate, {}, 5, partial(conversion.add, model=model, volume=volume))
    return volume


@pytest.fixture
def served(published_volume: Volume, tmp_path: Path) -> Volume:
    """Return a volume with one published version, which `server` serves and the test may change."""
    volume = Volume(tmp_path / "served")
    shutil.copytree(published_volume.versions, volume.versions)
    return volume
