"""Ingestion of the real files, and failures on small files."""

import errno
import gzip
import json
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import data_ingestion
from distml.data import download, fashion_mnist, preparation, published_files
from distml.step import outcome
from distml.step.volume import Volume
from support.project import run_script


def ingest(volume: Volume, *options: object) -> None:
    data_ingestion.main(data_ingestion.parse_args(["--volume", str(volume), *map(str, options)]))


def test_the_ingested_data_set_has_a_manifest(volume_with_data: Volume) -> None:
    manifest = json.loads((volume_with_data.dataset / fashion_mnist.MANIFEST).read_text())
    assert len(manifest.pop("files")) >= 4
    assert manifest == fashion_mnist.FACTS


def test_a_second_ingestion_reports_that_the_data_set_is_verified(
    volume_with_data: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(volume_with_data)
    assert capsys.readouterr().out.startswith("already there and verified: Fashion-MNIST, 60,000 + 10,000 images")


def test_ingestion_makes_the_folder_that_training_pods_mount(volume: Volume) -> None:
    assert not volume.versions.exists()
    ingest(volume)
    assert stat.filemode(volume.versions.stat().st_mode) == "drwxr-xr-x"
    assert list(volume.versions.iterdir()) == []


def test_a_file_in_the_place_of_the_versions_is_reported_first(tmp_path: Path) -> None:
    Volume(tmp_path).versions.write_text("")
    ended = run_script("data_ingestion.py", "--volume", tmp_path)
    expected = f"cannot use {tmp_path}/saved_model_versions: File exists; a file is where a folder is expected"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"data_ingestion.py: {expected}\n")


def test_the_error_about_a_damaged_data_set_names_the_file(tmp_path: Path, volume_with_data: Volume) -> None:
    volume = Volume(tmp_path)
    shutil.copytree(volume_with_data.dataset, volume.dataset)
    record = next(volume.dataset.glob("*train*tfrecord*"))
    with record.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    with pytest.raises(outcome.StepError, match=f"{record} is damaged; remove {volume.dataset} and run data ingestion"):
        ingest(volume)


def test_a_damaged_source_file_is_reported_and_nothing_is_stored(tmp_path: Path, small_source: Path) -> None:
    damaged = small_source / published_files.SMALLEST
    damaged.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(outcome.StepError, match=f"{damaged} does not have Fashion-MNIST's content") as refused:
        ingest(Volume(tmp_path), "--source", small_source)
    assert refused.value.exit_status == 2
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_wrong_source_is_refused_even_if_the_data_set_exists(
    volume_with_data: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        data_ingestion.parse_args(["--volume", str(volume_with_data.root), "--source", "/nowhere"])
    assert ended.value.code == 2
    assert "'/nowhere' is not a readable folder; give auto, download, apt or a folder" in capsys.readouterr().err


def test_an_unreachable_source_fails_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow is loaded')\n")
    environment = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", "PYTHONPATH": str(tmp_path)}
    ended = run_script("data_ingestion.py", "--volume", tmp_path / "volume", "--source", "download", **environment)
    host = "fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(
        f"data_ingestion.py: Fashion-MNIST could not be downloaded: {host} through the proxy in http_proxy:"
        " Connection refused. Connect this machine to the internet, or install the Debian package"
    )
    assert list((tmp_path / "volume" / "datasets").iterdir()) == []


def test_downloads_use_the_address_of_tensorflow_datasets() -> None:
    assert preparation.FashionMNIST.URL == download.URL


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device", "/volume/file"),
        tf.errors.ResourceExhaustedError(None, None, "/volume/file; No space left on device"),
    ],
)
def test_a_full_disk_during_the_preparation_is_reported(
    tmp_path: Path, small_source: Path, monkeypatch: pytest.MonkeyPatch, cause: Any
) -> None:
    def download_and_prepare(builder: object) -> None:
        raise RuntimeError("Error while extracting") from cause

    monkeypatch.setattr(preparation.FashionMnistFromFolder, "download_and_prepare", download_and_prepare)
    with pytest.raises(OSError, match="No space left on device"):
        ingest(Volume(tmp_path), "--source", small_source)


def test_a_failed_preparation_exits_with_1(tmp_path: Path, small_source: Path) -> None:
    with pytest.raises(preparation.NotPrepared) as failed:
        ingest(Volume(tmp_path), "--source", small_source)  # its four files are not idx files
    assert failed.value.exit_status == 1
    assert str(failed.value).startswith("Fashion-MNIST could not be prepared (ValueError: ")


def test_the_preparation_reports_the_number_of_finished_images(tmp_path: Path, source_folder: Path) -> None:
    done = []
    preparation.prepare(source_folder, tmp_path, lambda images, of: done.append((images, of)))
    assert done == [(images, 70_000) for images in range(1000, 71_000, 1000)]
    assert preparation.check(tmp_path)["data_sha256"] == fashion_mnist.FACTS["data_sha256"]


@pytest.mark.parametrize("split", ["train[59000:]", "test[:1500]"])
def test_a_split_is_read_as_tensorflow_datasets_reads_it(volume_with_data: Volume, split: str) -> None:
    builder = tfds.builder_from_directory(volume_with_data.dataset)
    expected = tfds.as_numpy(builder.as_dataset(split, batch_size=-1, shuffle_files=False))
    images, labels = fashion_mnist.read_split(volume_with_data.dataset, split)
    np.testing.assert_array_equal(images, expected["image"], strict=True)
    np.testing.assert_array_equal(labels, expected["label"], strict=True)


def test_an_ingestion_prints_three_lines(ingestions: Any, source_folder: Path) -> None:
    (output,) = (output for output in ingestions.outputs if "ingested" in output)
    # On a busy machine signs of life, which end with an ellipsis, appear between the three lines.
    first, second, third = (line for line in output.splitlines() if not line.endswith(" …"))
    assert (first, second) == (
        f"reading Fashion-MNIST from {source_folder}",
        "preparing 70,000 images (about ten seconds)",
    )
    assert third.startswith("ingested Fashion-MNIST, 60,000 + 10,000 images, data 1e8ce87441e8")


def test_two_ingestions_at_once_leave_one_verified_data_set(ingestions: Any) -> None:
    last = sorted(output.splitlines()[-1].split()[0] for output in ingestions.outputs)
    assert last == ["another", "ingested"]


def test_a_killed_ingestion_leaves_no_data_set_and_blocks_no_other(ingestions: Any) -> None:
    assert (ingestions.killed, ingestions.data_after_the_kill) == (-signal.SIGKILL, False)
    (left,) = ingestions.volume.dataset.parent.glob(".*")
    assert ingestions.volume.dataset.is_dir() and left.name.startswith(".fashion_mnist-")
