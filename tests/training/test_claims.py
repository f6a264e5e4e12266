"""Claims of a run by several workers at once, on volumes with and without hard links."""

import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from distml.step import atomic_files, outcome
from distml.step.volume import Volume
from distml.training import run_identity
from support.refusals import REFUSALS, refuse


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


NO_LINKS = [*REFUSALS, errno.EMLINK, errno.EXDEV]


@pytest.mark.parametrize("number", NO_LINKS, ids=errno.errorcode.get)
def test_a_run_is_claimed_without_hard_links(volume: Volume, monkeypatch: pytest.MonkeyPatch, number: Any) -> None:
    refuse(monkeypatch, number, (os, "link"))
    for _ in range(2):
        run_identity.claim_run(volume, "mine", {"data_sha256": "a"})
    with pytest.raises(outcome.StepError, match="run mine was made with other data_sha256"):
        run_identity.claim_run(volume, "mine", {"data_sha256": "b"})
    (record,) = volume.run("mine").iterdir()
    assert (json.loads(record.read_text()), record.stat().st_mode & 0o777) == ({"data_sha256": "a"}, 0o644)


def claim(volume: Volume, identity: str) -> str | None:
    """Return the claimed identity, or None if the claim is refused."""
    try:
        run_identity.claim_run(volume, "mine", {"data_sha256": identity})
    except outcome.StepError:
        return None
    return identity


def test_one_identity_wins_concurrent_claims_without_hard_links(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EPERM, (os, "link"))
    with ThreadPoolExecutor(8) as workers:
        for number in range(20):
            folder = Volume(volume.root / str(number))
            winners = list(workers.map(claim, [folder] * 8, "abababab"))
            recorded = json.loads((folder.run("mine") / "run.json").read_text())["data_sha256"]
            assert sorted(filter(None, winners)) == [recorded] * 4


def test_a_claim_waits_for_another_workers_unfinished_record(volume: Volume) -> None:
    record = volume.run("mine") / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"data_sha256":')
    timer = threading.Timer(0.5, record.write_text, ['{"data_sha256": "a"}'])
    timer.start()
    assert claim(volume, "a") == "a"
    timer.join()


def test_a_claim_on_a_full_volume_leaves_no_record(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EPERM, (os, "link"))
    refuse(monkeypatch, errno.ENOSPC, (atomic_files, "flush_to_disk"))
    with pytest.raises(OSError) as failed:
        claim(volume, "a")
    assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, str(volume.run("mine") / "run.json"))
    assert list(volume.run("mine").iterdir()) == []


def test_a_claim_with_a_stale_file_handle_loses_to_a_faster_claim(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwritten(file: IO[str]) -> None:
        file.flush()
        if Path(file.name).name != "run.json":
            return
        Path(file.name).write_text('{"data_sha256": "b"}')
        raise OSError(errno.ESTALE, "Stale file handle")

    refuse(monkeypatch, errno.EPERM, (os, "link"))
    monkeypatch.setattr(atomic_files, "flush_to_disk", overwritten)
    assert claim(volume, "a") is None
    assert json.loads((volume.run("mine") / "run.json").read_text()) == {"data_sha256": "b"}
