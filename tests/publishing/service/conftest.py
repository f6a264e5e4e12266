"""Fixture: a volume with two versions without a model."""

from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing.versions import decisions
from distml.step.volume import Volume


@pytest.fixture
def two_versions(tmp_path: Path) -> Volume:
    """Return a volume with versions 1 and 2; version 1 is released."""
    volume = Volume(tmp_path)
    for number in (1, 2):
        volume.version(number).mkdir(parents=True)
        (volume.version(number) / "saved_model.pb").write_text(f"model {number}")
        manifest.write(volume.version(number), {"model": "plain"})
        if number == 1:
            decisions.release(volume, 1, "")
    return volume
