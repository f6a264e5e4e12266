"""Both clients against a predictor."""

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
        ended = run_script(script, "--host", "127.0.0.1", "--port", port, "--service-hostname", "a.example", *paths)
        assert ended.returncode == 0, ended.stderr
        lines = ended.stdout.splitlines()
        assert lines[0] == "flower-sample, version 1"
        assert [line.split()[0] for line in lines[4:]] == list(map(str, paths))
        assert [f"{max(row):.1%}" in line for row, line in zip(saved(IMAGES[:2]), lines[4:], strict=True)] == [True] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", *(pytest.param(host, marks=needs_ipv6) for host in ("::1", "[::1]"))])
def test_both_clients_reach_it_by_both_families_and_past_any_proxy(server: Predictor, host: Any) -> None:
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        ended = run_script(script, "--host", host, "--port", port, ROOT / "inference-input.png", **DEAD_PROXY)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("flower-sample, version 1\n")


def test_the_clients_say_what_the_server_said(server: Predictor, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        ended = run_script(script, "--host", "127.0.0.1", "--port", port, bad)
        assert ended.returncode == 2 and NOT_AN_IMAGE in ended.stderr and len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", ["http_client.py", "grpc_client.py"])
def test_a_host_name_that_is_none_is_one_line(script: str) -> None:
    ended = run_script(script, "--service-hostname", "a\nb", ROOT / "inference-input.png")
    line = f"{script}: argument --service-hostname: 'a\\nb' is not a host name; see --help\n"
    assert (ended.returncode, ended.stderr) == (2, line)


def test_an_answer_without_what_was_asked_for_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    args = grpc_client.parse_args(["image.png"])
    monkeypatch.setattr(client, "read_file", lambda path: b"")
    monkeypatch.setattr(grpc_client, "ask", lambda args, files: InferResponse("1", "another", []))
    with pytest.raises(outcome.StepError, match="what localhost:8081 answers is no prediction of such images"):
        grpc_client.main(args)


def test_the_clients_say_what_to_do_when_nobody_listens(server: Predictor) -> None:
    for script in ("http_client.py", "grpc_client.py"):
        ended = run_script(script, "--host", "127.0.0.1", "--port", free_port(), ROOT / "inference-input.png")
        assert ended.returncode == 1 and "start `make serve`" in ended.stderr and ended.stderr.count("\n") == 1
