"""A volume with versions of a few bytes."""

from pathlib import Path

import pytest

from distml.publishing.versions import publication
from distml.step.volume import Volume
from support.crashes import candidate


@pytest.fixture
def versions(tmp_path: Path) -> Volume:
    """Return a volume with the versions 1, 2 and 3, of which none is released."""
    volume = Volume(tmp_path / "volume")
    for _ in range(3):
        publication.publish(volume, candidate(volume), {}, keep=5)
    return volume
