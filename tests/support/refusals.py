"""A system that refuses calls, as volumes do that cannot do everything."""

import errno
import os

import pytest

# What such a volume answers to a call that it does not have.
REFUSALS = [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, *calls: tuple[object, str]) -> None:
    """Let the calls fail with this errno, which names no file."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for module, name in calls:
        monkeypatch.setattr(module, name, refused)
