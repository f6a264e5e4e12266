"""The signature of a published version, in the format of OpenSSF Model Signing.

It covers every file of the version; among them the manifest, with the hash of the data, the code, the settings and the
run. The program of the same project verifies it too:

    model_signing verify key <version> --signature <version>/model.sig --public_key public.pem

Source: https://github.com/ossf/model-signing-spec
"""

import argparse
import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distml.model import manifest as model_manifest
from distml.model.manifest import SIGNATURE
from distml.step import command_line, outcome
from distml.step.atomic_files import copy_folder, write_text
from distml.step.volume import read_small

CURVES = ("secp256r1", "secp384r1", "secp521r1")
COMMANDS = {
    "private": "openssl ecparam -name prime256v1 -genkey -noout -out private.pem",
    "public": "openssl ec -in private.pem -pubout -out public.pem",
}


class NotVerified(outcome.StepError):
    """A version is unsigned, or its signature does not fit its files, its number or the public key."""


class NotAKey(OSError):
    """A file without a usable key. As an OSError it says nothing about a version."""

    def __init__(self, path: Path, kind: str):
        reason = f"not a {kind} key on the curve P-256, P-384 or P-521, in PEM and without a password"
        super().__init__(errno.EINVAL, reason, str(path))


def sign(folder: Path, private_key: Path) -> None:
    """Write the signature of the version in `folder` into it, in place of another.

    Args:
        folder: the version, with its manifest.
        private_key: PEM file of an elliptic-curve key.

    Raises:
        OSError: the key or a file of the version cannot be read.
    """
    from model_signing import hashing, signing  # here, because it loads slowly and few need it

    _load(private_key, "private")
    folder = folder.absolute()  # the library takes a relative path to ignore as one below the version
    config = signing.Config().use_elliptic_key_signer(private_key=private_key)
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[folder / SIGNATURE]))
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / SIGNATURE
        config.sign(folder, made)
        write_text(folder / SIGNATURE, made.read_text())


def verify(folder: Path, public_key: Path) -> dict[str, Any]:
    """Check the files of a version against its manifest, and both against its signature; return the manifest.

    Args:
        folder: the version; its name is the version's number.
        public_key: PEM file of an elliptic-curve key.

    Raises:
        NotVerified: the version is unsigned, was signed for another number, or its signature does not fit.
        StepError: the manifest is missing, or a file of the version is damaged.
        OSError: the key or a file of the version cannot be read.
    """
    _load(public_key, "public")
    manifest = model_manifest.verified(folder)
    _check_plain(folder)
    try:
        content = read_small(folder / SIGNATURE)
    except FileNotFoundError:
        raise NotVerified(f"{folder} is not signed; publish it with --signing-key (make run SIGNING_KEY=...)") from None
    except ValueError as error:
        raise NotVerified(f"{error}, so it is no signature; remove {folder}, or publish it again") from None
    from model_signing import verifying

    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            config.verify(folder.absolute(), Path(file.name))
        except OSError:
            raise
        except Exception as error:  # any kind: a signature may be any file
            raise NotVerified(f"{folder} {_reason(error, public_key)}; remove it, or publish it again") from None
    # Otherwise an older version could come back under a newer number.
    if str(manifest.get("version")) != folder.name:
        raise NotVerified(f"{folder} was signed as version {manifest.get('version')}; remove the folder")
    return manifest


def _check_plain(folder: Path) -> None:
    """Raise NotVerified for a file that manifest or signature would pass over, such as `.gitignore`, or a pipe."""
    for path in (folder, *folder.rglob("*")):
        hidden = path != folder and path.name.startswith(".")
        if hidden or path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise NotVerified(
                f"{path} is hidden, a link or a special file, and no signature covers it; remove {folder}, or publish"
                " it again"
            )


def _reason(error: Exception, public_key: Path) -> str:
    from cryptography.exceptions import InvalidSignature

    if isinstance(error, InvalidSignature) or "Key mismatch" in str(error):
        return f"was not signed with the private key of {public_key}"
    if "Signature mismatch" in str(error):
        return "was changed after it was signed"
    return f"has no valid signature ({SIGNATURE} cannot be read as one)"


def is_signed_by(folder: Path, private_key: Path) -> bool:
    """Return whether the version in `folder` verifies with the public half of a private key."""
    from cryptography.hazmat.primitives import serialization

    key = _load(private_key, "private").public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        try:
            verify(folder, Path(file.name))
        except outcome.StepError:
            return False
    return True


@contextlib.contextmanager
def checked(folder: Path, public_key: Path | None) -> Iterator[Path]:
    """Yield a folder from which the version in `folder` can be loaded: `folder` itself if there is no public key.

    With one, yield a private copy that was verified, so that whoever can write to the volume cannot exchange a file
    between the check and the use. The copy is removed at the end.

    Raises:
        NotVerified: the version does not verify.
        StepError: the version is damaged.
    """
    if public_key is None:
        yield folder
        return
    verify(folder, public_key)  # here too: the message names this folder, and a copy of too large files is never made
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work) / folder.name
        copy.mkdir()
        copy_folder(folder, copy)
        try:
            verify(copy, public_key)
        except outcome.StepError:
            raise NotVerified(f"{folder} changed while it was read; remove it and publish again") from None
        yield copy


def add_signing_key(parser: argparse.ArgumentParser) -> None:
    """Add `--signing-key`; the value is None without a key."""
    parser.add_argument(
        "--signing-key",
        type=private_key,
        metavar="FILE",
        help="PEM file of the private key that signs the published version (default: it is not signed)",
    )


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add `--public-key`; the value is None without a key."""
    parser.add_argument(
        "--public-key",
        type=public_key,
        metavar="FILE",
        help="PEM file of a public key: refuse versions that its owner did not sign (default: accept every version)",
    )


def private_key(text: str) -> Path | None:
    """Parse the path of a private key (argparse type); "" means none."""
    return _key(text, "private")


def public_key(text: str) -> Path | None:
    """Parse the path of a public key (argparse type); "" means none."""
    return _key(text, "public")


def _key(text: str, kind: str) -> Path | None:
    if not text:
        return None
    path = command_line.path(text)
    try:
        _load(path, kind)
    except NotAKey as error:
        raise argparse.ArgumentTypeError(f"{path} is {error.strerror}; make one with {COMMANDS[kind]}") from None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read the {kind} key {path}: {error.strerror}") from None
    return path


def _load(path: Path, kind: str) -> Any:
    """Return the key in a PEM file.

    Raises:
        NotAKey: it is not a key of this kind, on a curve that the format knows, without a password.
        OSError: the file cannot be read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        content = read_small(path)
        if kind == "private":
            key: Any = serialization.load_pem_private_key(content, password=None)
        else:
            key = serialization.load_pem_public_key(content)
        curve = key.curve.name
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm):  # TypeError: it has a password
        curve = ""
    if curve not in CURVES:
        raise NotAKey(path, kind)
    return key
