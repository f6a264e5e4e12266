"""The checks of a machine before anything is installed."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import doctor
from distml.data import sources
from distml.step.volume import Volume
from support.project import SOURCE


def test_doctor_needs_only_the_standard_library(tmp_path: Path) -> None:
    # -S leaves out site-packages, -E the caller's PYTHONPATH.
    command = [sys.executable, "-S", "-E", str(SOURCE / "doctor.py"), "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_each_check_prints_one_line_and_a_failed_one_sets_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: 1.0)
    monkeypatch.setattr(sources, "where", lambda source: f"from {source}")
    args = doctor.parse_args(["--volume", str(tmp_path), "--http-port", "18471", "--grpc-port", "18472"])
    with pytest.raises(doctor.outcome.StepError, match=r"^failed: memory; see above$"):
        doctor.main(args)
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [["ok", "processor"], ["FAIL", "memory"], ["ok", "disk"], ["ok", "data"], ["ok", "ports"]]


def test_too_little_memory_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: 2.0)
    with pytest.raises(doctor.Unfit) as unfit:
        doctor.memory(2)
    assert str(unfit.value) == "2.0 GiB free, 2 workers need 3.0: end other programs, or lower WORKERS"


def test_unknown_free_memory_is_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: None)
    assert doctor.memory(2) == "free memory unknown on this system, 2 workers need 3.0 GiB"


def test_a_processor_without_avx_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "processor_flags", lambda: {"sse4_2"})
    with pytest.raises(doctor.Unfit, match="x86_64, without AVX, which TensorFlow needs"):
        doctor.processor()


def test_a_volume_and_an_environment_on_one_disk_add_their_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: (0, 0, 2.9 * doctor.GIB))
    with pytest.raises(doctor.Unfit) as unfit:
        doctor.disk(Volume(tmp_path / "volume"))
    assert str(unfit.value) == f"2.9 GiB free in {tmp_path}, volume and .venv need 3.0: make room, or set DATA"


@pytest.mark.parametrize("volume", ["file", "file/below"])
def test_a_volume_that_cannot_be_a_folder_is_reported(tmp_path: Path, volume: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(doctor.Unfit, match="file is not a folder: choose another with DATA"):
        doctor.disk(Volume(tmp_path / volume))


def test_one_port_for_both_protocols_is_reported() -> None:
    with pytest.raises(doctor.Unfit, match="HTTP_PORT and GRPC_PORT are the same port: change one of them"):
        doctor.ports({"HTTP_PORT": 18471, "GRPC_PORT": 18471})


def test_an_error_of_the_operating_system_is_a_failed_check(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> str:
        raise PermissionError(13, "Permission denied", "/root/x")

    assert not doctor.passes("disk", refused)
    assert capsys.readouterr().out.startswith("FAIL  disk       cannot use /root/x: Permission denied; ")


def test_no_source_is_searched_if_the_volume_has_the_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "where", lambda source: pytest.fail("searched"))
    volume = Volume(tmp_path)
    volume.dataset.mkdir(parents=True)
    assert doctor.data(volume, "auto") == f"already prepared in {volume.dataset}"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_reported_with_its_make_variable(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError as error:
        pytest.skip(f"{address} cannot be listened on: {error}")
    with listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            doctor.Unfit, match=f"^{port}: .* choose another with GRPC_PORT .only `make serve` needs the ports.$"
        ):
            doctor.ports({"HTTP_PORT": 18471, "GRPC_PORT": port})


def test_doctor_names_every_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = {"HTTP_PORT": first.getsockname()[1], "GRPC_PORT": second.getsockname()[1]}
        with pytest.raises(doctor.Unfit, match=r"choose another with HTTP_PORT; .* choose another with GRPC_PORT"):
            doctor.ports(ports)
