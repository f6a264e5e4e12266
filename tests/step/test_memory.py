"""The free memory, by the system's figures and a container's limit."""

import sys
from pathlib import Path

import pytest

from distml.step import memory


def test_a_containers_limit_bounds_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8388608 kB\n", "/sys/fs/cgroup/memory.max": f"{2**31}\n"}
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "read_text", lambda path: files[str(path)])
    assert memory.free_memory() == 2.0
