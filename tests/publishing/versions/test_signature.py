"""Signatures of versions: everything that does not verify, both programs, and the keys that are refused."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from distml.model import manifest
from distml.model.manifest import MANIFEST, SIGNATURE
from distml.publishing.versions import decisions, publication, signature
from distml.step import outcome
from distml.step.volume import MOST_BYTES, Volume
from support.bad_versions import flip_a_byte
from support.crashes import candidate
from support.signing_keys import Keys, make

PROGRAM = Path(sys.executable).with_name("model_signing")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make(tmp_path, "key")


@pytest.fixture
def volume(tmp_path: Path, keys: Keys) -> Volume:
    """Return a volume with the signed versions 1 and 2."""
    volume = Volume(tmp_path / "volume")
    for _ in range(2):
        publication.publish(volume, candidate(volume), {}, 5, signing_key=keys.private)
    return volume


@pytest.fixture
def version(volume: Volume) -> Path:
    return volume.version(2)


def program(task: str, version: Path, *options: object) -> int:
    """Run OpenSSF's program with the signature of a version; return its exit status."""
    command = [*map(str, (PROGRAM, task, "key", version, "--signature", version / SIGNATURE, *options))]
    return subprocess.run(command, capture_output=True, check=False).returncode


def deeply_nested(version: Path) -> None:
    (version / SIGNATURE).write_text("[" * (MOST_BYTES - 1))


def as_folder(version: Path) -> None:
    (version / SIGNATURE).unlink()
    (version / SIGNATURE).mkdir()


def as_pipe(version: Path) -> None:
    (version / SIGNATURE).unlink()
    os.mkfifo(version / SIGNATURE)


def as_link(version: Path) -> None:
    shutil.move(version / SIGNATURE, version.parent / "moved.sig")
    (version / SIGNATURE).symlink_to(version.parent / "moved.sig")


def as_link_to_data(version: Path) -> None:
    shutil.move(version / "saved_model.pb", version.parent / "moved.pb")
    (version / "saved_model.pb").symlink_to(version.parent / "moved.pb")


def consistently(version: Path) -> None:
    manifest.write(version, {**manifest.read(version), "test_accuracy": 1.0})


def unsigned_statement(version: Path) -> None:
    bundle = json.loads((version / SIGNATURE).read_text())
    bundle["dsseEnvelope"]["signatures"] = []
    (version / SIGNATURE).write_text(json.dumps(bundle))


UNREADABLE = "has no valid signature (model.sig cannot be read as one)"
UNCOVERED = "is hidden, a link or a special file, and no signature covers it"
CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unsigned": (lambda version: (version / SIGNATURE).unlink(), "is not signed; publish it with --signing-key"),
    "empty": (lambda version: (version / SIGNATURE).write_bytes(b""), UNREADABLE),
    "no JSON": (lambda version: (version / SIGNATURE).write_bytes(b"\xff\x00"), UNREADABLE),
    "another JSON": (lambda version: (version / SIGNATURE).write_text("[1]"), UNREADABLE),
    "no signature in it": (unsigned_statement, UNREADABLE),
    "deeply nested": (deeply_nested, UNREADABLE),
    "too long": (lambda version: os.truncate(version / SIGNATURE, MOST_BYTES + 1), "so it is no signature"),
    "endless": (lambda version: os.truncate(version / SIGNATURE, 1 << 40), "so it is no signature"),
    "a folder": (as_folder, "so it is no signature"),
    "a pipe": (as_pipe, UNCOVERED),
    "a link": (as_link, UNCOVERED),
    "a link to data": (as_link_to_data, UNCOVERED),
    "another version's": (
        lambda version: shutil.copy(version.parent / "1" / SIGNATURE, version / SIGNATURE),
        "was changed after it was signed",
    ),
    "manifest changed": (consistently, "was changed after it was signed"),
    "folder added": (lambda version: (version / "more").symlink_to("/"), UNCOVERED),
    "file added": (lambda version: (version / "more").touch(), "more is not listed"),
    "hidden file added": (lambda version: (version / ".gitignore").touch(), UNCOVERED),
    "pipe added": (lambda version: os.mkfifo(version / "more"), UNCOVERED),
    "file removed": (lambda version: (version / "saved_model.pb").unlink(), "saved_model.pb is missing"),
    "file changed": (lambda version: flip_a_byte(version / "saved_model.pb"), "saved_model.pb is damaged"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_version_is_refused_in_one_line(version: Path, keys: Keys, change: str) -> None:
    spoil, message = CHANGES[change]
    assert signature.verify(version, keys.public) == manifest.read(version)
    spoil(version)
    with pytest.raises(outcome.StepError, match=re.escape(message)) as refused:
        signature.verify(version, keys.public)
    assert "\n" not in str(refused.value)
    assert not signature.is_signed_by(version, keys.private)
    with pytest.raises(outcome.StepError), signature.checked(version, keys.public):
        pass


def test_a_version_under_another_number_is_refused(volume: Volume, keys: Keys) -> None:
    shutil.copytree(volume.version(1), volume.version(3))
    with pytest.raises(signature.NotVerified, match="was signed as version 1; remove the folder"):
        signature.verify(volume.version(3), keys.public)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_another_key_verifies_only_its_own_versions(
    version: Path, keys: Keys, tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    other = make(tmp_path, "other", ec.generate_private_key(curve))
    with pytest.raises(signature.NotVerified, match="was not signed with the private key of "):
        signature.verify(version, other.public)
    signature.sign(version, other.private)
    assert signature.verify(version, other.public)["version"] == 2
    assert not signature.is_signed_by(version, keys.private)


def test_a_key_that_goes_says_nothing_about_the_version(version: Path, keys: Keys) -> None:
    for spoil in (lambda: keys.public.write_text("another file"), keys.public.unlink, keys.public.mkdir):
        spoil()
        with pytest.raises(OSError) as failed:
            signature.verify(version, keys.public)
        assert not isinstance(failed.value, outcome.StepError)


def test_what_is_loaded_is_a_private_copy(version: Path, keys: Keys) -> None:
    with signature.checked(version, keys.public) as copy:
        (version / "saved_model.pb").write_text("exchanged")
        assert (copy.name, (copy / "saved_model.pb").read_text()) == ("2", "model")
    assert not copy.exists()


def test_a_version_exchanged_during_the_copy_is_refused(
    version: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_folder = signature.copy_folder

    def exchange(source: Path, target: Path) -> None:
        consistently(source)
        copy_folder(source, target)

    monkeypatch.setattr(signature, "copy_folder", exchange)
    with (
        pytest.raises(signature.NotVerified, match="changed while it was read"),
        signature.checked(version, keys.public),
    ):
        pass


def test_a_signature_covers_the_origin_of_a_really_trained_version(
    trained_volume: Volume, tmp_path: Path, keys: Keys
) -> None:
    signed, trained = Volume(tmp_path / "signed"), trained_volume.candidate("first", "plain", 1)
    number = publication.publish(signed, trained, {}, 5, signing_key=keys.private)
    verified = signature.verify(signed.version(number), keys.public)
    identity = json.loads((trained_volume.run("first") / "run.json").read_text())
    assert {"data_sha256", "code_sha256", "software", "settings"} <= identity.keys()
    assert verified.items() >= {**identity, "run": "first"}.items()


def test_a_version_on_a_volume_with_a_relative_path_verifies(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Volume(Path("relative"))
    version = relative.version(publication.publish(relative, candidate(relative), {}, 5, signing_key=keys.private))
    for folder in (version, version.absolute()):
        signature.verify(folder, keys.public)


def test_openssfs_program_accepts_our_version_and_no_change(version: Path, keys: Keys) -> None:
    assert program("verify", version, "--public_key", keys.public) == 0
    flip_a_byte(version / "saved_model.pb")
    assert program("verify", version, "--public_key", keys.public) == 1


def test_a_version_signed_by_openssfs_program_is_accepted(volume: Volume, keys: Keys) -> None:
    version = volume.version(publication.publish(volume, candidate(volume), {}, 5))
    assert program("sign", version, "--private_key", keys.private) == 0
    assert signature.verify(version, keys.public)["version"] == 3
    consistently(version)
    with pytest.raises(signature.NotVerified, match="was changed after it was signed"):
        signature.verify(version, keys.public)


def bad_key(folder: Path, kind: str) -> Path:
    """Write a key file that is refused; return its path."""
    path = folder / "bad.pem"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "-----BEGIN PUBLIC KEY-----\n")
    elif kind != "missing":
        others: dict[str, Callable[[], Any]] = {"RSA": partial(rsa.generate_private_key, 65537, 2048)}
        others["secp256k1"] = partial(ec.generate_private_key, ec.SECP256K1())
        key = others[kind]() if kind in others else None
        return make(folder, "bad", key, b"secret" if kind == "password" else None).private
    return path


KINDS = ["missing", "folder", "pipe", "endless", "empty", "text", "RSA", "secp256k1", "password"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parse", [signature.private_key, signature.public_key])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, kind: str, parse: Callable[[str], Path]) -> None:
    path = bad_key(tmp_path, kind)
    problem = "cannot read the" if kind == "missing" else f"{path} is not a"
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(problem)):
        parse(str(path))


def test_a_key_is_not_taken_for_its_other_half(keys: Keys) -> None:
    assert (signature.private_key(str(keys.private)), signature.public_key(str(keys.public))) == keys
    assert (signature.private_key(""), signature.public_key("")) == (None, None)
    for parse, path in ((signature.private_key, keys.public), (signature.public_key, keys.private)):
        with pytest.raises(argparse.ArgumentTypeError, match="; make one with openssl "):
            parse(str(path))


DECISIONS = {
    "release": lambda volume, number, key: decisions.release(volume, number, "", key),
    "roll-back": lambda volume, number, key: decisions.roll_back(volume, number, "", key),
}


def content(volume: Volume) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(volume.versions.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("withdrawn", [False, True])
@pytest.mark.parametrize("spoil", ["saved_model.pb", MANIFEST, SIGNATURE, "unsigned", "other key", "renumbered"])
def test_a_decision_about_a_version_that_does_not_verify_changes_nothing(
    volume: Volume, keys: Keys, tmp_path: Path, decision: str, withdrawn: bool, spoil: str
) -> None:
    number = 2
    for _ in range(1 if decision == "release" else 2):
        publication.publish(volume, candidate(volume), {}, 5, signing_key=keys.private)
    if decision == "release":
        number = 3
    folder = volume.version(number)
    if withdrawn:
        decisions.withdraw(volume, number, "")
        folder = volume.versions / ".withdrawn" / str(number)
    if spoil == "unsigned":
        (folder / SIGNATURE).unlink()
    elif spoil == "other key":
        signature.sign(folder, make(tmp_path, "other").private)
    elif spoil == "renumbered":
        shutil.rmtree(folder)
        shutil.copytree(volume.version(1), folder)
    else:
        flip_a_byte(folder / spoil)
    before = content(volume)
    with pytest.raises(outcome.StepError):
        DECISIONS[decision](volume, number, keys.public)
    assert content(volume) == before


def test_a_version_that_verifies_is_released_and_rolled_back_to(volume: Volume, keys: Keys) -> None:
    assert decisions.release(volume, 2, "", keys.public)
    assert decisions.roll_back(volume, None, "", keys.public).version == 1


def test_a_found_version_that_does_not_verify_gets_no_record(volume: Volume, keys: Keys) -> None:
    shutil.copytree(volume.version(1), volume.version(9))
    before = content(volume)
    with pytest.raises(signature.NotVerified, match="was signed as version 1"):
        decisions.release(volume, 9, "", keys.public)
    assert content(volume) == before
