"""Debian's package of the data, from a fake apt-get that fails and from the machine's own."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distml.data import debian_package, published_files
from support.data_sources import DEAD, FIRST, IMAGES, MISSING, UNPACKED, failure_reason, obtain

pytestmark = pytest.mark.usefixtures("bare_machine")


def test_fetching_the_package_reports_its_progress(tmp_path: Path, apt: Callable[..., None]) -> None:
    file, seen, arrived = "dataset-fashion-mnist_1_all.deb", tmp_path / "seen", []
    apt(download=f"echo half > {file}; until [ -e {seen} ]; do sleep 0.05; done; echo all >> {file}")

    def note(done: int, total: int | None) -> None:
        arrived.append((done, total))
        if total:
            seen.touch()

    obtain(tmp_path, "apt", note)
    assert [call for call in arrived if call[1]] in ([(5, 31), (9, 9)], [(5, 31), (9, 31), (9, 9)])


def test_apt_get_runs_no_hooks_and_writes_only_below_the_folder(tmp_path: Path, apt: Callable[..., None]) -> None:
    apt(update='cp apt.conf ../conf; echo "$@" > ../arguments')
    obtain(tmp_path, "apt")
    assert "#clear APT::Update::Post-Invoke;" in (tmp_path / "fetched/conf").read_text()
    work = tmp_path / "fetched/package"
    arguments = (tmp_path / "fetched/arguments").read_text()
    for setting in ("Dir::State::Lists=WORK/lists", "Dir::State::status=WORK/status", "Dir::Cache=WORK/cache"):
        assert f"-o {setting.replace('WORK', str(work))} " in arguments


def test_a_dead_package_source_beside_a_good_one_is_tolerated(tmp_path: Path, apt: Callable[..., None]) -> None:
    apt(update="echo list > lists/list; echo 'E: Failed to fetch http://dead/'; exit 100")
    published_files.check_files(obtain(tmp_path, "apt"))


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ({"listed": MISSING}, "apt-get: Unable to locate package dataset-fashion-mnist"),
        (
            {"update": DEAD, "listed": MISSING},
            "apt-get: Unable to locate package dataset-fashion-mnist"
            " (Failed to fetch http://mirror/InRelease Connection refused)",
        ),
        ({"download": "exit 9"}, "apt-get: ended with status 9"),
        ({"download": "true"}, "apt-get download left no file dataset-fashion-mnist_*.deb"),
        ({"unpack": "{ echo 'not a Debian format archive'; exit 2; }"}, "dpkg-deb: not a Debian format archive"),
        (
            {"unpack": f'rm "{UNPACKED}/{IMAGES}"'},
            f"{IMAGES} in the package dataset-fashion-mnist is missing; expected the four files"
            f" {', '.join(published_files.FILES)}",
        ),
        (
            {"unpack": f'cp "{UNPACKED}/{FIRST}" "{UNPACKED}/{IMAGES}"'},
            f"{IMAGES} in the package dataset-fashion-mnist does not have Fashion-MNIST's content (SHA-256 differs);"
            " fetch it again",
        ),
    ],
)
def test_a_package_that_cannot_be_fetched_gives_the_reason(
    tmp_path: Path, apt: Callable[..., None], actions: dict[str, Any], reason: str
) -> None:
    apt(**actions)
    assert failure_reason(tmp_path, "apt") == reason


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        (
            {"update": "sleep 30", "listed": MISSING},
            "apt-get: Unable to locate package dataset-fashion-mnist (no byte arrived for 0.5 s)",
        ),
        ({"download": "echo begun > x; sleep 30"}, "apt-get: no byte arrived for 1 s"),
    ],
)
def test_an_apt_get_that_stalls_is_stopped(
    tmp_path: Path, apt: Callable[..., None], short_waits: None, actions: dict[str, Any], reason: str
) -> None:
    apt(**actions)
    assert failure_reason(tmp_path, "apt") == reason


def test_an_apt_get_is_stopped_with_its_children(tmp_path: Path, apt: Callable[..., None], short_waits: None) -> None:
    apt(update=f"sh -c 'echo $$ > {tmp_path}/child; exec sleep 30' & sleep 30", listed=MISSING)
    failure_reason(tmp_path, "apt")
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    while child.exists() and child.read_text().split()[2] != "Z":
        time.sleep(0.01)


def test_a_full_disk_during_apt_get_is_reported(tmp_path: Path, apt: Callable[..., None]) -> None:
    apt(download="echo 'E: Write error - write (28: No space left on device)'; exit 100")
    with pytest.raises(OSError, match="No space left on device") as failed:
        obtain(tmp_path, "apt")
    assert failed.value.filename == str(tmp_path / "fetched/package")


@pytest.mark.parametrize("program", ["apt-get", "dpkg-deb"])
def test_a_machine_without_apt_reports_the_missing_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apt: Callable[..., None], program: str
) -> None:
    (tmp_path / "programs" / program).unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    assert failure_reason(tmp_path, "apt") == f"{program} is not installed on this machine"


def test_the_real_apt_get_finds_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not shutil.which("apt-get"):
        pytest.skip("this machine has no apt-get")
    before = sorted(Path("/var/lib/apt/lists").iterdir())
    try:
        size = debian_package.size(tmp_path)
    except published_files.Unavailable as error:
        pytest.skip(f"this machine's package sources are unreachable or lack the package: {error}")
    assert size and size > 30_000_000
    assert sorted(Path("/var/lib/apt/lists").iterdir()) == before
