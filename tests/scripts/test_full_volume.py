"""Scripts on a volume that is really full."""

import re
from pathlib import Path
from typing import Any

import pytest

from support import full_volume
from support.full_volume import WRITERS


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("full")
    if reason := full_volume.reason_to_skip(folder):
        pytest.skip(f"no file system can be mounted here: {reason}")
    return full_volume.run_all(folder)


def test_scripts_on_a_full_volume_end_with_one_line_and_the_remedy(ended: dict[str, Any]) -> None:
    full = r"\w+\.py: cannot use /\S+: No space left on device; make space on that disk \(.* remove-runs .*\)\n"
    for status, _, error in ended["ends"][: len(WRITERS)]:
        assert status == 1
        assert re.fullmatch(full, error)


def test_old_runs_are_removed_from_a_full_volume(ended: dict[str, Any]) -> None:
    status, output, error = ended["ends"][-2]
    assert (status, error) == (0, "")
    assert "1 run removed, which freed 1.0 MB; the volume has 1 MB free" in output


def test_a_command_succeeds_once_there_is_space(ended: dict[str, Any]) -> None:
    assert ended["ends"][-1] == [0, "rolled back to version 1; withdrawn: 2; predictors follow within seconds\n", ""]


def test_versions_on_a_full_volume_stay_intact(ended: dict[str, Any]) -> None:
    before, *others, after = ended["versions"]
    assert list(before) == ["1", "2"]
    assert others == [before] * (len(WRITERS) + 1)
    assert after == {"1": before["1"]}
