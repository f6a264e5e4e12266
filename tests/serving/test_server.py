"""The start of the predictor, and what it says when it cannot start."""

import re
import socket
from pathlib import Path

import pytest

from distml.step.volume import Volume
from support.network import needs_ipv6
from support.predictor_process import Predictor, free_port
from support.project import run_script


def test_a_port_that_is_taken_is_named_before_anything_is_loaded(server: Predictor, published_volume: Volume) -> None:
    for option, port in (("--http-port", server.http_port), ("--grpc-port", server.grpc_port)):
        ended = run_script("serve.py", "--volume", published_volume, "--http-port", free_port(), option, port)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"serve.py: cannot listen on port {port}: Address already in use; choose")


@needs_ipv6
@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_that_is_taken_on_ipv6_alone_is_named(published_volume: Volume, option: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        ended = run_script("serve.py", "--volume", published_volume, "--http-port", free_port(), option, port)
    line = f"serve.py: cannot listen on port {port}: Address already in use; choose another {option}\n"
    assert (ended.returncode, ended.stderr) == (2, line)


def test_one_port_for_both_protocols_is_refused(tmp_path: Path) -> None:
    port = free_port()
    ended = run_script("serve.py", "--volume", tmp_path, "--http-port", port, "--grpc-port", port)
    line = f"serve.py: REST and gRPC cannot share port {port}; choose another --grpc-port\n"
    assert (ended.returncode, ended.stderr) == (2, line)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_one_line(port: str, tmp_path: Path) -> None:
    ended = run_script("serve.py", "--volume", tmp_path, "--http-port", port)
    assert ended.returncode == 2
    assert ended.stderr == f"serve.py: argument --http-port: {port!r} is not an integer from 1 to 65535; see --help\n"


def test_without_a_published_model_it_ends_with_one_sentence(tmp_path: Path) -> None:
    ended = run_script("serve.py", "--volume", tmp_path)
    assert ended.returncode == 2
    sentence = r"^serve.py: no published model that is whole in .*; publish one, or name another --volume$"
    assert re.search(sentence, ended.stderr, re.M)


def test_its_own_help_is_shown(tmp_path: Path) -> None:
    assert "--drain-seconds" in run_script("serve.py", "--help").stdout
