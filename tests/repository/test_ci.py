"""The start of `.ci/run`: its choice of a cluster, and the space that it needs.

The stand-in for `make` fails, which ends the script there.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.project import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a folder with only .ci/run, no cluster beside it, and a stand-in for each program that .ci/run starts."""
    clone = tmp_path / "project/clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", clone / ".ci/run")
    for name in ("dpkg", "python3.11", "go", "kubectl", "promtool"):
        program(tmp_path / "bin" / name, "exit 0")
    program(tmp_path / "bin/df", "echo Avail; echo '  100'")
    program(tmp_path / "bin/make", "echo make $* REQUIRE_ALL_PROGRAMS=$REQUIRE_ALL_PROGRAMS; exit 9")
    return clone


STARTED = "make lint REQUIRE_ALL_PROGRAMS=1\n"


def program(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def start_of_ci(clone: Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `.ci/run` up to its first `make`, whose status is 9."""
    environment = {name: value for name, value in os.environ.items() if name != "CLUSTER_FOLDER"}
    environment["PATH"] = f"{clone.parents[1] / 'bin'}:{environment['PATH']}"
    environment |= {"CLUSTER_FOLDER": str(folder)} if folder else {}
    return subprocess.run([clone / ".ci/run"], env=environment, capture_output=True, text=True, check=False)


def test_ci_fails_at_the_start_if_the_named_folder_has_no_cluster(clone: Path) -> None:
    folder = clone.parents[1] / "nowhere"
    ended = start_of_ci(clone, folder)
    message = f".ci/run: CLUSTER_FOLDER is {folder}, which has no program up; name a folder that has one, or unset it\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)


def test_ci_without_a_cluster_reports_that_and_continues(clone: Path) -> None:
    ended = start_of_ci(clone)
    message = ".ci/run: no CLUSTER_FOLDER and no ../shared/cluster/up: skipping the tests that need a cluster\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (9, STARTED, message)


def test_ci_uses_the_cluster_of_the_named_folder(clone: Path) -> None:
    folder = clone.parents[1] / "here"
    program(folder / "up", "exit 0")
    ended = start_of_ci(clone, folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (9, STARTED, "")


def test_ci_uses_the_cluster_beside_the_clone_by_default(clone: Path) -> None:
    program(clone.parent / "shared/cluster/up", "exit 0")
    ended = start_of_ci(clone)
    assert (ended.returncode, ended.stdout, ended.stderr) == (9, STARTED, "")


def test_ci_installs_the_missing_packages_at_once(clone: Path) -> None:
    programs = clone.parents[1] / "bin"
    program(programs / "dpkg", '[ "$2" = make ]')
    program(programs / "apt-get", f"echo $* >> {clone}/apt-get.txt")
    assert start_of_ci(clone).stdout == STARTED
    packages = "curl chromium chromium-driver default-jdk-headless fuse3"
    assert (clone / "apt-get.txt").read_text().splitlines() == [
        "update -qq",
        f"install -y -qq --no-install-recommends {packages}",
    ]


def test_ci_unpacks_a_missing_promtool_without_installing_it(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = clone.parents[1] / "bin"
    (programs / "promtool").unlink()
    for name in ("bash", "dirname", "mktemp", "rm", "sh", "tail"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", "")  # this machine may have a promtool
    program(programs / "apt-get", "echo apt-get $*; : > prometheus_1.deb")
    program(programs / "dpkg", "echo dpkg $*")
    unpacked = "apt-get update -qq\napt-get download -qq prometheus\ndpkg --extract prometheus_1.deb .\n"
    assert start_of_ci(clone).stdout == unpacked + STARTED


@pytest.mark.parametrize(("folder", "needed"), [(None, 8), ("here", 12)])
def test_ci_ends_at_the_start_on_a_full_disk(clone: Path, folder: str | None, needed: int) -> None:
    bin = clone.parents[1] / "bin"
    program(clone.parents[1] / "here/up", "exit 0")
    cluster = clone.parents[1] / folder if folder else None
    program(bin / "df", f"echo Avail; echo '    {needed}'")
    assert start_of_ci(clone, cluster).stdout == STARTED
    program(bin / "df", f"echo Avail; echo '    {needed - 1}'")
    ended = start_of_ci(clone, cluster)
    message = f".ci/run: the disk of . has {needed - 1} GB free; the tests need {needed}: free some"
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()[-1]) == (1, "", message)
