"""Both clients with a running predictor."""

from pathlib import Path
from typing import Any

import pytest
from kserve import InferResponse

import grpc_client
from distml.model.image_decoding import png
from distml.protocol import client
from distml.step import outcome
from support.network import DEAD_PROXY, needs_ipv6
from support.predictor_process import Predictor, free_port
from support.predictor_requests import IMAGES, NOT_AN_IMAGE, Ask
from support.project import ROOT, run_script


def test_both_clients_print_the_class_of_each_file(server: Predictor, tmp_path: Path, saved: Ask) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path, image in zip(paths, IMAGES, strict=False):
        path.write_bytes(png(image))
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        process = run_script(script, "--host", "127.0.0.1", "--port", port, "--service-hostname", "a.example", *paths)
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()
        assert lines[0] == "flower-sample, version 1"
        assert [line.split()[0] for line in lines[4:]] == list(map(str, paths))
        assert [f"{max(row):.1%}" in line for row, line in zip(saved(IMAGES[:2]), lines[4:], strict=True)] == [True] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", *(pytest.param(host, marks=needs_ipv6) for host in ("::1", "[::1]"))])
def test_both_clients_connect_by_ipv4_and_ipv6_without_a_proxy(server: Predictor, host: Any) -> None:
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        process = run_script(script, "--host", host, "--port", port, ROOT / "inference-input.png", **DEAD_PROXY)
        assert (process.returncode, process.stderr) == (0, "")
        assert process.stdout.startswith("flower-sample, version 1\n")


def test_both_clients_print_the_servers_reason_for_a_refusal(server: Predictor, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        process = run_script(script, "--host", "127.0.0.1", "--port", port, bad)
        assert process.returncode == 2 and NOT_AN_IMAGE in process.stderr and len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", ["http_client.py", "grpc_client.py"])
def test_an_invalid_host_name_is_refused_in_one_line(script: str) -> None:
    process = run_script(script, "--service-hostname", "a\nb", ROOT / "inference-input.png")
    line = f"{script}: argument --service-hostname: 'a\\nb' is not a host name; see --help\n"
    assert (process.returncode, process.stderr) == (2, line)


def test_a_grpc_answer_without_the_outputs_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    args = grpc_client.parse_args(["image.png"])
    monkeypatch.setattr(client, "read_file", lambda path: b"")
    monkeypatch.setattr(grpc_client, "ask", lambda args, files: InferResponse("1", "another", []))
    with pytest.raises(outcome.StepError, match="localhost:8081 answered something that is not a prediction"):
        grpc_client.main(args)


def test_both_clients_print_a_remedy_when_no_server_listens(server: Predictor) -> None:
    for script in ("http_client.py", "grpc_client.py"):
        process = run_script(script, "--host", "127.0.0.1", "--port", free_port(), ROOT / "inference-input.png")
        assert process.returncode == 1 and "start `make serve`" in process.stderr and process.stderr.count("\n") == 1
