"""Pairs of keys that sign published versions, as openssl would make them."""

from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Keys(NamedTuple):
    """PEM files of a private key and of its public half."""

    private: Path
    public: Path


def make(folder: Path, name: str, key: Any = None, password: bytes | None = None) -> Keys:
    """Write a pair of keys, on the curve P-256 unless `key` is given; return the paths."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    keys = Keys(folder / f"{name}.pem", folder / f"{name}-public.pem")
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    keys.private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    keys.public.write_bytes(key.public_key().public_bytes(pem, info))
    return keys
