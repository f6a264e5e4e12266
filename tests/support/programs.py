"""Programs that tests need and that are not Python packages, such as a browser."""

import os
import shutil
from typing import NoReturn

import pytest


def program_or_skip(name: str, package: str) -> str:
    """Return the path of a program; without it skip the test, or fail if REQUIRE_ALL_PROGRAMS is 1.

    Args:
        name: the program's name.
        package: Debian's package that has it.
    """
    path = shutil.which(name)
    if path is None:
        skip_or_fail(f"this machine has no {name}; install Debian's package {package}")
    return path


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test for want of a program, or fail if REQUIRE_ALL_PROGRAMS is 1."""
    if os.environ.get("REQUIRE_ALL_PROGRAMS") == "1":
        pytest.fail(f"{reason}, which REQUIRE_ALL_PROGRAMS=1 demands")
    pytest.skip(reason)
