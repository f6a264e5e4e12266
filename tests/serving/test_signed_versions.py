"""A predictor with a public key: versions that its owner did not sign are refused, at the start and under load."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distml.model import manifest
from distml.model.manifest import MANIFEST, SIGNATURE
from distml.publishing.versions import signature
from distml.publishing.versions.version_files import LITE_MODEL
from distml.serving.release import served_version
from distml.step import outcome
from distml.step.volume import Volume
from support import signing_keys
from support.load import BODY, Load
from support.predictor_process import PREDICT, SERVE, Predictor, predictor
from support.signing_keys import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return signing_keys.make(tmp_path, "right")


@pytest.fixture
def volume(published_volume: Volume, tmp_path: Path, keys: Keys) -> Volume:
    """Return a volume with version 1, which is signed."""
    volume = Volume(tmp_path / "volume")
    shutil.copytree(published_volume.version(1), volume.version(1))
    signature.sign(volume.version(1), keys.private)
    return volume


def publish(volume: Volume, number: int, keys: Keys, forge: Callable[[Path], None] = lambda work: None) -> None:
    """Copy version 1, sign the copy under its number, apply `forge`, and rename the copy to `number`."""
    work = volume.versions / f".{number}"
    shutil.copytree(volume.version(1), work)
    manifest.write(work, {**manifest.read(work), "version": number})
    signature.sign(work, keys.private)
    forge(work)
    work.rename(volume.version(number))


def change_a_byte(folder: Path) -> None:
    """Change the model, and the manifest with its digest so that both agree."""
    content = bytearray((folder / LITE_MODEL).read_bytes())
    content[-1] ^= 1
    (folder / LITE_MODEL).write_bytes(content)
    manifest.write(folder, manifest.read(folder))


def remove_the_signature(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


def sign_with_another_key(folder: Path) -> None:
    signature.sign(folder, signing_keys.make(folder.parent.parent, "other").private)


FORGERIES = {
    change_a_byte: "was changed after it was signed",
    remove_the_signature: "is not signed",
    sign_with_another_key: "was not signed with the private key of",
}


def version_of(server: Predictor) -> str:
    return server.post(PREDICT, BODY)[1]["model_version"]


def reasons(server: Predictor) -> dict[str, str]:
    """Return the reason of each rejected version."""
    releases = server.get("/v1/models/flower-sample")[1]["releases"]
    return {entry["version"]: entry["reason"] for entry in releases if entry["stage"] == "rejected"}


@pytest.mark.parametrize("release", ["instant", "guarded"])
def test_forged_versions_are_refused_under_load_and_a_signed_one_is_taken(
    volume: Volume, keys: Keys, tmp_path: Path, release: str
) -> None:
    options = ("--public-key", keys.public, "--release", release, "--shadow-seconds", 1, "--probation-seconds", 1)
    with predictor(volume, tmp_path / "log", *options) as server, Load(server) as load:
        load.wait_for(20)
        for number, forge in enumerate(FORGERIES, start=2):
            publish(volume, number, keys, forge)
        server.wait(lambda: len(reasons(server)) == 3, "refused")
        load.wait_for(20)
        assert load.outcomes.keys() == {(200, "1")}
        found = reasons(server)
        for number, sentence in enumerate(FORGERIES.values(), start=2):
            assert f"{volume.version(number)} {sentence}" in found[str(number)]
        assert server.metric("predictor_versions_refused_total") == 3
        publish(volume, 9, keys)
        server.wait(lambda: version_of(server) == "9", "taken up")
        load.wait_for(20)
    assert load.outcomes.keys() == {(200, "1"), (200, "9")}


def test_a_predictor_starts_with_the_newest_version_that_verifies(volume: Volume, keys: Keys, tmp_path: Path) -> None:
    publish(volume, 2, keys)
    for number, forge in enumerate(FORGERIES, start=3):
        publish(volume, number, keys, forge)
    with predictor(volume, tmp_path / "log", "--public-key", keys.public) as server:
        assert version_of(server) == "2"


def test_a_predictor_without_a_verified_version_ends_with_one_sentence(volume: Volume, keys: Keys) -> None:
    remove_the_signature(volume.version(1))
    options = ["--volume", volume, "--public-key", keys.public]
    command = [sys.executable, SERVE, *options, "--http-port", free_port(), "--grpc-port", free_port()]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    line = ended.stderr.splitlines()[-1]
    assert line.startswith(f"serve.py: no published model in {volume.versions} can be served ({volume.version(1)} is")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_version_that_answers_goes_on_when_its_folder_is_tampered_with(
    volume: Volume, keys: Keys, tmp_path: Path
) -> None:
    with predictor(volume, tmp_path / "log", "--public-key", keys.public) as server:
        before = server.post(PREDICT, BODY)
        change_a_byte(volume.version(1))
        server.wait(lambda: "1" in reasons(server), "refused")
        assert server.post(PREDICT, BODY) == before


def test_the_answers_of_a_verified_version_come_from_its_private_copy(volume: Volume, keys: Keys) -> None:
    version = served_version.load(volume.version(1), 1, keys.public)
    images = np.random.default_rng(1).integers(0, 256, (16, 28, 28, 1), np.uint8)
    before = version.classify(images)
    model = volume.version(1) / LITE_MODEL
    with model.open("r+b") as file:  # in place, as through a mapping of the same file
        file.write(bytes(model.stat().st_size))
    assert np.array_equal(version.classify(images), before)


def test_a_manifest_that_keeps_its_digest_hides_no_other_model(volume: Volume, keys: Keys) -> None:
    publish(volume, 2, keys)
    digest = manifest.read(volume.version(2))["digest"]
    change_a_byte(volume.version(2))
    text = json.loads((volume.version(2) / MANIFEST).read_text())
    (volume.version(2) / MANIFEST).write_text(json.dumps({**text, "digest": digest}))
    with pytest.raises(outcome.StepError, match=r"does not match its digest"):
        served_version.load(volume.version(2), 1, keys.public)


def test_a_key_that_is_away_for_a_moment_condemns_no_version(volume: Volume, keys: Keys, tmp_path: Path) -> None:
    with predictor(volume, tmp_path / "log", "--public-key", keys.public) as server:
        content = keys.public.read_bytes()
        keys.public.unlink()
        publish(volume, 2, keys)
        unread = "version cannot be read now"
        server.wait(lambda: unread in {event["event"] for event in server.events()}, "tried")
        keys.public.write_bytes(content)
        server.wait(lambda: version_of(server) == "2", "taken up")


@pytest.mark.parametrize(("host", "reached"), [("localhost", False), ("127.0.0.1", False), ("", True)])
def test_the_server_listens_at_its_host_only(volume: Volume, tmp_path: Path, host: str, reached: bool) -> None:
    with predictor(volume, tmp_path / "log", *(("--host", host) if host else ())) as server:
        for port in (server.http_port, server.grpc_port):
            with socket.socket() as client:
                client.settimeout(5)
                # Another address of the loopback network, as another machine would use another address.
                assert (client.connect_ex(("127.0.0.2", port)) == 0) == reached
            socket.create_connection(("localhost", port), timeout=5).close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "300.1.1.1"])
def test_a_host_that_is_not_of_this_machine_is_refused(volume: Volume, host: str) -> None:
    command = [sys.executable, SERVE, "--volume", volume, "--host", host]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    sentence = (
        f"serve.py: {host} is no address of this machine; choose another --host (make serve HOST=...), such as"
        " localhost\n"
    )
    assert (ended.returncode, ended.stderr) == (2, sentence)
