"""The free memory, by the system's figures and a container's limit, and the instruction sets of the processor."""

import sys
from pathlib import Path

import pytest

from distml.step import machine


def test_a_containers_limit_bounds_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8388608 kB\n", "/sys/fs/cgroup/memory.max": f"{2**31}\n"}
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "read_text", lambda path: files[str(path)])
    assert machine.free_memory() == 2.0


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("fpu avx avx2 avx512f avx512_vnni avx512_bf16 amx_bf16", "AMX-BF16"),
        ("fpu avx avx2 avx512f avx512_bf16", "AVX512-BF16"),
        ("fpu avx avx2", "AVX2"),
    ],
)
def test_the_fastest_instruction_set_is_named(monkeypatch: pytest.MonkeyPatch, flags: str, name: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: f"processor : 0\nflags\t\t: {flags}\nflags\t\t: fpu\n")
    assert machine.instruction_set() == name


def test_a_system_that_lists_no_flags_is_named_by_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert (machine.processor_flags(), machine.instruction_set()) == (set(), "arm64")
