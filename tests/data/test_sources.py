"""The choice of a source: the first that works, or one line if none works."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distml.data import published_files, sources
from support.data_sources import DEAD, FIRST, IMAGES, MISSING, Server, cut, failure_reason, obtain, page, refuse
from support.project import SOURCE

pytestmark = pytest.mark.usefixtures("bare_machine")


def test_data_sources_need_only_the_standard_library() -> None:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from distml.data import sources; print(sources.WORDS)"
    printed = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == "('auto', 'download', 'apt')\n"


def test_the_folder_of_the_installed_package_is_the_first_source(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    apt: Callable[..., None],
    small_source: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", small_source)
    assert obtain(tmp_path, "auto") == small_source
    assert sources.where("auto") == f"the folder {small_source}"
    assert capsys.readouterr().out == f"reading Fashion-MNIST from {small_source}\n"


def test_a_damaged_installed_package_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", installed)
    assert obtain(tmp_path, "auto") == tmp_path / "fetched"
    files = ", ".join(published_files.FILES)
    assert f"skipped: {installed / IMAGES} is missing; expected the four files {files}" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [page, cut, refuse])
def test_the_package_is_fetched_after_a_failed_download(
    tmp_path: Path, server: Server, apt: Callable[..., None], answer: Any
) -> None:
    server.answers[IMAGES] = answer
    folder = obtain(tmp_path, "auto")
    assert folder == tmp_path / "fetched/package/unpacked/usr/share/datasets/fashion-mnist"
    published_files.check_files(folder)


def test_one_line_gives_each_reason_if_no_source_works(
    tmp_path: Path, unreachable: None, apt: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    apt(update=DEAD, listed=MISSING)
    assert failure_reason(tmp_path, "auto") == (
        "127.0.0.1: Connection refused; apt-get: Unable to locate package dataset-fashion-mnist"
        " (Failed to fetch http://mirror/InRelease Connection refused)"
    )
    assert "skipped" not in capsys.readouterr().out


def test_the_described_source_is_the_one_that_would_be_used(
    server: Server, apt: Callable[..., None], small_source: Path
) -> None:
    assert sources.where(str(small_source)) == f"the folder {small_source}"
    assert sources.where("auto") == "a download of 31 MB from 127.0.0.1"
    server.answers[FIRST] = refuse
    assert sources.where("auto") == "Debian's package dataset-fashion-mnist (0 MB) by apt-get"
    apt(listed=MISSING)
    with pytest.raises(published_files.NotObtained, match=r"downloaded: 127\.0\.0\.1: HTTP status 403; apt-get: "):
        sources.where("auto")
