"""The end of a worker group on one machine, with small programs in place of the workers."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import local_pipeline
from distml.step import outcome
from distml.step import volume as volume_module
from distml.step.volume import Volume
from distml.training.group import local_launcher, tf_config, worker
from support.project import SOURCE

# A worker that takes a second to end on SIGTERM, as a real one inside TensorFlow may.
SLOW = (
    "import os, signal, sys, time\n"
    "def end(*_):\n    time.sleep(1)\n    sys.exit(143)\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "os.write(1, b'ready\\n')\n"  # unbuffered, so that two workers do not mix their lines
    "time.sleep(60)\n"
)
LAUNCHER = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from pathlib import Path; from distml.training.group import local_launcher\n"
    "from distml.step.volume import Volume, hold_lock\n"
    "with hold_lock(Volume(Path(sys.argv[3]))) as lock:\n"
    "    local_launcher.run_worker_group([sys.executable, '-c', sys.argv[2]], workers=2, restarts=0, keep_open=[lock])"
)
# Worker 0 runs the first statement, worker 1 the second.
TWO = "import json, os, sys, time\nif json.loads(os.environ['TF_CONFIG'])['task']['index'] == 0:\n    {}\nelse:\n    {}"


def test_running_out_of_restarts_exits_with_1() -> None:
    with pytest.raises(
        local_launcher.GivenUp, match="worker 0 ended with status 7; giving up after 1 restarts"
    ) as ended:
        local_launcher.run_worker_group([sys.executable, "-c", "raise SystemExit(7)"], workers=1, restarts=1)
    assert ended.value.exit_status == 1


def test_a_worker_whose_port_is_taken_exits_with_1() -> None:
    with socket.create_server(("", 0)) as listener:
        group = tf_config.WorkerGroup((f"127.0.0.1:{listener.getsockname()[1]}", "127.0.0.1:9"), 0)
        with pytest.raises(worker.PortTaken) as ended:
            worker.wait_for_peers(group)
    assert ended.value.exit_status == 1


def test_a_local_worker_ignores_the_variables_of_an_indexed_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    monkeypatch.setenv("TF_CONFIG", "{")
    (environment,) = local_launcher._environments(1)
    assert {"JOB_COMPLETION_INDEX", "TF_CONFIG"} & environment.keys() == set()


def launch(folder: Path) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """Start a launcher that locks the volume in `folder`; return its process and those of its two workers."""
    command = [sys.executable, "-c", LAUNCHER, str(SOURCE), SLOW, str(folder)]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert launcher.stdout
    assert [launcher.stdout.readline() for _ in range(2)] == [b"ready\n"] * 2
    return launcher, psutil.Process(launcher.pid).children()


def run_two(first: str, second: str) -> None:
    """Run two workers: worker 0 runs the statement `first`, worker 1 `second`."""
    local_launcher.run_worker_group([sys.executable, "-c", TWO.format(first, second)], workers=2, restarts=1)


def test_a_second_ctrl_c_leaves_no_worker_running(tmp_path: Path) -> None:
    launcher, workers = launch(tmp_path)
    for _ in range(2):
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.4)
    launcher.communicate(timeout=20)
    assert len(workers) == 2 and not any(worker.is_running() for worker in workers)


def test_wrong_input_is_not_retried_even_if_a_peer_failed_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(outcome.StepError, match="a worker refused its input") as ended:
        run_two("sys.exit(1)", "time.sleep(0.5); sys.exit(2)")
    assert (ended.value.exit_status, capsys.readouterr().out) == (2, "")


def test_a_worker_that_hangs_after_a_peers_success_restarts_the_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(local_launcher, "SECONDS_AFTER_A_SUCCESS", 2)
    once = tmp_path / "once"
    run_two("pass", f"os.path.exists({str(once)!r}) or (open({str(once)!r}, 'w'), time.sleep(60))")
    assert capsys.readouterr().out.splitlines() == [
        "worker 1 did not end within 2 s after a peer succeeded; terminating",
        "worker 1 was killed by SIGTERM; restarting all 2 workers from the last checkpoint",
    ]


def test_a_killed_launchers_workers_lock_the_volume_until_the_last_ends(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    launcher, workers = launch(tmp_path)
    launcher.kill()
    launcher.wait()
    for process in workers:
        with pytest.raises(volume_module.InUse, match=f"another run uses {tmp_path}") as refused:
            volume_module.hold_lock(volume).__enter__()
        assert refused.value.exit_status == 1
        process.kill()
    with volume.lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for the last worker to end
    with volume_module.hold_lock(volume):
        assert volume.lock.exists()


@pytest.fixture
def default_handlers() -> Iterator[None]:
    """Set the default handlers of SIGTERM and SIGHUP, and restore the process's own afterwards."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_ends_the_pipeline_as_sigterm_does(
    default_handlers: None, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    local_pipeline.end_on_signals()
    with pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), number)
        time.sleep(1)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err.endswith(f": ended by {number.name}\n")


def test_the_pipeline_keeps_nohups_handling_of_a_hangup(default_handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    local_pipeline.end_on_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_more_workers_than_fit_in_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_launcher, "free_memory", lambda: 2.0)
    local_launcher.check_workers(4)
    with pytest.raises(
        outcome.StepError, match=r"^5 workers need at least 2\.5 GiB of memory, but only 2\.0 GiB are free"
    ):
        local_launcher.check_workers(5)


def test_no_worker_is_refused_when_the_free_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_launcher, "free_memory", lambda: None)
    local_launcher.check_workers(1000)
