"""System calls that fail, as on volumes that do not support them."""

import errno
import os

import pytest

# The errors by which volumes refuse a call that they do not support.
REFUSALS = [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, *calls: tuple[object, str]) -> None:
    """Make the calls fail with errno `number` and without a file name."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for module, name in calls:
        monkeypatch.setattr(module, name, fail)
