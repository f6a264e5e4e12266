"""Ingestion on the real files; what is wrong with a source, on small ones."""

import errno
import gzip
import hashlib
import json
import shutil
import signal

import pytest
import tensorflow as tf
from tensorflow_datasets.core.download import downloader

import data_ingestion
import fashion_mnist
import step
from volume import Volume

FOUR_FILES = list(fashion_mnist.FILES.values())


def ingest(volume: Volume, *options: object) -> None:
    data_ingestion.main(data_ingestion.parse_args(["--volume", str(volume), *map(str, options)]))


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder with four small files, in the place of the published ones."""
    folder = tmp_path / "source"
    folder.mkdir()
    published = {}
    for name in FOUR_FILES:
        (folder / name).write_bytes(gzip.compress(name.encode()))
        published[name.removesuffix(".gz")] = hashlib.sha256(name.encode()).hexdigest()
    assert published.keys() == data_ingestion.CONTENT_SHA256.keys()
    monkeypatch.setattr(data_ingestion, "CONTENT_SHA256", published)
    data_ingestion.check_files(folder)
    return folder


def test_the_data_is_prepared_with_a_manifest_beside_it(volume_with_data):
    manifest = json.loads((volume_with_data.dataset / fashion_mnist.MANIFEST).read_text())
    assert len(manifest.pop("files")) >= 4
    assert manifest == fashion_mnist.FACTS


def test_a_second_ingestion_verifies_and_says_so(volume_with_data, capsys):
    ingest(volume_with_data)
    assert capsys.readouterr().out.startswith("already there and verified: Fashion-MNIST, 60,000 + 10,000 images")


def test_a_damaged_volume_is_named(tmp_path, volume_with_data):
    volume = Volume(tmp_path)
    shutil.copytree(volume_with_data.dataset, volume.dataset)
    record = next(volume.dataset.glob("*train*tfrecord*"))
    with record.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    with pytest.raises(step.StepError, match=f"{record} is damaged; remove {volume.dataset} and run data ingestion"):
        ingest(volume)


@pytest.mark.parametrize("name", FOUR_FILES)
def test_a_damaged_source_file_is_named_and_nothing_is_stored(tmp_path, source, name):
    (source / name).write_bytes(gzip.compress(b"something else"))
    with pytest.raises(step.StepError, match=f"{source / name} does not hold Fashion-MNIST's content") as refused:
        ingest(Volume(tmp_path), "--source", source)
    assert refused.value.exit_status == 2
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize("name", FOUR_FILES)
def test_a_source_file_that_was_cut_short_is_named(source, name):
    (source / name).write_bytes((source / name).read_bytes()[:-9])
    with pytest.raises(step.StepError, match=f"{source / name} cannot be decompressed"):
        data_ingestion.check_files(source)


def test_a_source_that_is_no_folder_is_named_also_when_the_data_is_there(volume_with_data, capsys):
    with pytest.raises(SystemExit) as ended:
        data_ingestion.parse_args(["--volume", str(volume_with_data.root), "--source", "/nowhere"])
    assert ended.value.code == 2
    assert "'/nowhere' is no folder; give auto, download or a folder" in capsys.readouterr().err


def test_a_missing_source_file_is_named(source):
    (source / FOUR_FILES[0]).unlink()
    with pytest.raises(step.StepError, match=f"{source / FOUR_FILES[0]} is missing; expected the four files"):
        data_ingestion.check_files(source)


def test_a_download_without_internet_names_both_remedies(tmp_path, monkeypatch):
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(data_ingestion.NotObtained) as refused:
        ingest(Volume(tmp_path), "--source", "download")
    assert refused.value.exit_status == 1
    assert str(refused.value).startswith("Fashion-MNIST could not be had (ProxyError: ")
    assert "connect this machine to the internet, or install the Debian package dataset-fashion-mnist" in str(
        refused.value
    )


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device", "/volume/file"),
        tf.errors.ResourceExhaustedError(None, None, "/volume/file; No space left on device"),
    ],
)
def test_a_full_disk_is_no_failed_download(tmp_path, source, monkeypatch, cause):
    def download_and_prepare(builder):
        raise RuntimeError("Error while extracting") from cause

    monkeypatch.setattr(data_ingestion.FashionMnistFromFolder, "download_and_prepare", download_and_prepare)
    with pytest.raises(OSError, match="No space left on device"):
        ingest(Volume(tmp_path), "--source", source)


def test_two_at_once_end_with_one_verified_data_set(ingestions):
    last = sorted(output.splitlines()[-1].split()[0] for output in ingestions.outputs)
    assert last == ["another", "ingested"]


def test_a_killed_ingestion_leaves_no_data_set_behind_and_does_not_stand_in_the_way(ingestions):
    assert (ingestions.killed, ingestions.data_after_the_kill) == (-signal.SIGKILL, False)
    (left,) = ingestions.volume.dataset.parent.glob(".*")
    assert ingestions.volume.dataset.is_dir() and left.name.startswith(".fashion_mnist-")
