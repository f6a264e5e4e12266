"""The predictor's command line, and its messages when it cannot start."""

import contextlib
import os
import platform
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import serve
from distml.step.volume import Volume
from support.load import BODY
from support.network import needs_ipv6
from support.predictor_process import PREDICT, Predictor, free_port, predictor
from support.project import SOURCE, run_script


def test_a_port_in_use_is_reported_before_a_model_is_loaded(server: Predictor, published_volume: Volume) -> None:
    for option, port in (("--http-port", server.http_port), ("--grpc-port", server.grpc_port)):
        result = run_script("serve.py", "--volume", published_volume, "--http-port", free_port(), option, port)
        assert result.returncode == 2
        assert result.stderr.startswith(f"serve.py: cannot listen on port {port}: Address already in use; choose")


@needs_ipv6
@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_in_use_on_ipv6_only_is_reported(published_volume: Volume, option: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        result = run_script("serve.py", "--volume", published_volume, "--http-port", free_port(), option, port)
    variable = option.removeprefix("--").replace("-", "_").upper()
    remedy = f"choose another {option} (make serve {variable}=...)"
    line = f"serve.py: cannot listen on port {port}: Address already in use; {remedy}\n"
    assert (result.returncode, result.stderr) == (2, line)


def test_one_port_for_both_protocols_is_refused(tmp_path: Path) -> None:
    port = free_port()
    result = run_script("serve.py", "--volume", tmp_path, "--http-port", port, "--grpc-port", port)
    line = f"serve.py: REST and gRPC cannot share port {port}; choose another --grpc-port (make serve GRPC_PORT=...)\n"
    assert (result.returncode, result.stderr) == (2, line)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_an_invalid_port_is_refused_in_one_line(port: str, tmp_path: Path) -> None:
    result = run_script("serve.py", "--volume", tmp_path, "--http-port", port)
    assert result.returncode == 2
    assert result.stderr == f"serve.py: argument --http-port: {port!r} is not an integer from 1 to 65535; see --help\n"


def test_a_volume_without_a_published_model_is_refused_in_one_line(tmp_path: Path) -> None:
    ports = ("--http-port", free_port(), "--grpc-port", free_port())
    result = run_script("serve.py", "--volume", tmp_path, *ports)
    assert result.returncode == 2
    line = (
        r"^serve.py: no published model in .* can be served; publish one or choose another --volume \(make serve DATA="
    )
    assert re.search(line, result.stderr, re.M)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--max-accuracy-loss", "2", "'2' is not a number from 0 to 1"),
        ("--max-recall-loss", "-0.1", "'-0.1' is not a number from 0 to 1"),
        ("--max-slowdown", "0", "'0' is not a number above 0"),
        ("--shadow-seconds", "nan", "'nan' is not a number above 0"),
        ("--probation-seconds", "inf", "'inf' is not a number above 0"),
    ],
)
def test_an_invalid_bound_of_a_trial_is_refused_in_one_line(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        serve.parse_args([f"{option}={value}"])
    assert capsys.readouterr().err.partition(": ")[2] == f"argument {option}: {message}; see --help\n"


def test_help_shows_the_options_of_the_predictor(tmp_path: Path) -> None:
    assert "--drain-seconds" in run_script("serve.py", "--help").stdout


POOLS = """
import ctypes, sys, threading
from distml.serving import server
if sys.argv[1] == "one":
    server.use_one_memory_pool()
libc = ctypes.CDLL(None)
together = threading.Barrier(8)

def allocate():
    libc.malloc(100)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, output)
libc.fflush(output)
"""


def pools(setting: str) -> int:
    """Return the number of memory pools of a process with eight threads."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", POOLS, setting]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.count("<heap ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a memory pool for each thread")
def test_the_threads_of_the_predictor_share_a_memory_pool() -> None:
    assert pools("one") <= 2  # loading NumPy may have made the second
    assert pools("each its own") > 4


def test_connections_beyond_the_inherited_limit_of_files_are_answered(published_volume: Volume, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 200
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        try:
            server = stack.enter_context(predictor(published_volume, tmp_path / "log"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(few):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.http_port), timeout=30))
        assert server.post(PREDICT, BODY)[0] == 200
