"""The check of the four source files, and the errors about a bad one."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from distml.data import published_files, sources
from distml.step import outcome
from support.data_sources import IMAGES


@pytest.mark.parametrize("name", published_files.FILES)
def test_the_error_about_a_missing_source_file_names_the_file(small_source: Path, name: Any) -> None:
    (small_source / name).unlink()
    with pytest.raises(outcome.StepError, match=f"{small_source / name} is missing; expected the four files"):
        sources.obtain(str(small_source), small_source)


@pytest.mark.parametrize("name", published_files.FILES)
def test_the_error_about_a_truncated_source_file_names_the_file(small_source: Path, name: Any) -> None:
    (small_source / name).write_bytes((small_source / name).read_bytes()[:-9])
    with pytest.raises(outcome.StepError, match=f"{small_source / name} cannot be decompressed"):
        published_files.check_files(small_source)


@pytest.mark.parametrize("name", published_files.FILES)
def test_the_error_about_a_changed_source_file_names_the_file(small_source: Path, name: Any) -> None:
    (small_source / name).write_bytes(gzip.compress(b"something else"))
    with pytest.raises(outcome.StepError, match=f"{small_source / name} does not have Fashion-MNIST's content"):
        published_files.check_files(small_source)


def test_the_error_about_an_unreadable_source_file_names_the_file(
    small_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(gzip, "open", denied)
    with pytest.raises(outcome.StepError, match=rf"{small_source / IMAGES} cannot be read \(Permission denied\)"):
        published_files.check_files(small_source)
