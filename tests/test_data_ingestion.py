"""Ingestion on the real files."""

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import SOURCE, run_script

from data_ingestion import DEBIAN_FOLDER
from fashion_mnist import MANIFEST
from volume import Volume

FOUR_FILES = sorted(path.name for path in DEBIAN_FOLDER.glob("*.gz"))


@pytest.fixture
def source(tmp_path):
    """A folder of one's own with the four files."""
    return shutil.copytree(DEBIAN_FOLDER, tmp_path / "source")


def test_the_data_is_prepared_with_a_manifest_beside_it(volume_with_data):
    manifest = json.loads((volume_with_data.dataset / MANIFEST).read_text())
    assert manifest["images"] == {"train": 60_000, "test": 10_000}
    assert manifest["class_names"][0] == "T-shirt/top" and len(manifest["class_names"]) == 10
    assert len(manifest["files"]) >= 4


def test_a_second_ingestion_verifies_and_says_so(volume_with_data):
    again = run_script("data_ingestion.py", "--volume", volume_with_data)
    assert again.returncode == 0
    assert again.stdout.startswith("already there and verified: Fashion-MNIST, 60,000 + 10,000 images")


def test_a_damaged_volume_is_named(volume):
    record = next(volume.dataset.glob("*train*tfrecord*"))
    with record.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    again = run_script("data_ingestion.py", "--volume", volume)
    assert again.returncode == 2
    assert f"{record} is damaged; remove {volume.dataset} and run data ingestion" in again.stderr


@pytest.mark.parametrize("name", FOUR_FILES)
def test_a_damaged_source_file_is_named_and_nothing_is_stored(tmp_path, source, name):
    content = bytearray(gzip.decompress((source / name).read_bytes()))
    content[-1] ^= 1
    (source / name).write_bytes(gzip.compress(bytes(content), 1))
    ingestion = run_script("data_ingestion.py", "--volume", tmp_path / "volume", "--source", source)
    assert ingestion.returncode == 2
    assert f"{source / name} does not hold Fashion-MNIST's content" in ingestion.stderr
    assert not Volume(tmp_path / "volume").dataset.exists()


def test_a_missing_source_file_is_named(tmp_path, source):
    (source / FOUR_FILES[0]).unlink()
    ingestion = run_script("data_ingestion.py", "--volume", tmp_path, "--source", source)
    assert (ingestion.returncode, ingestion.stdout.count("Traceback")) == (2, 0)
    assert f"{source / FOUR_FILES[0]} is missing; expected the four files" in ingestion.stderr


def test_a_download_without_internet_names_both_remedies(tmp_path):
    ingestion = run_script(
        "data_ingestion.py", "--volume", tmp_path, "--source", "download", http_proxy="http://127.0.0.1:9"
    )
    assert ingestion.returncode == 2
    line = ingestion.stderr.strip().splitlines()[-1]
    assert "connect this machine to the internet, or install the Debian package dataset-fashion-mnist" in line


def test_two_at_once_end_with_one_verified_data_set(tmp_path):
    command = [sys.executable, SOURCE / "data_ingestion.py", "--volume", tmp_path]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = sorted(process.communicate(timeout=280)[0].splitlines()[-1].split()[0] for process in both)
    assert outputs == ["another", "ingested"]
    assert [folder.name for folder in Volume(tmp_path).dataset.parent.iterdir()] == ["fashion_mnist"]


def test_a_killed_ingestion_leaves_no_data_set_behind(tmp_path):
    command = [sys.executable, SOURCE / "data_ingestion.py", "--volume", tmp_path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while "preparing" not in process.stdout.readline():
        pass
    time.sleep(3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Volume(tmp_path).dataset.exists()
