"""Answers to the JDK's own HTTP client, which offers h2c in the first request of each connection."""

import json
import subprocess
from pathlib import Path

import numpy as np

from support.predictor_process import Predictor
from support.predictor_requests import Ask, probabilities_of
from support.programs import program_or_skip
from support.project import ROOT

CLIENT = Path(__file__).with_name("JdkClient.java")
PACKAGE = "default-jdk-headless"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def java_or_skip() -> str:
    """Return the path of a java that can run a source file, which needs the compiler of a JDK."""
    java = program_or_skip("java", PACKAGE)
    if "jdk.compiler@" not in run(java, "--list-modules").stdout:
        program_or_skip("java with a compiler", PACKAGE)
    return java


def test_the_jdks_http_client_gets_the_saved_models_answers(server: Predictor, saved: Ask) -> None:
    address, body = f"http://127.0.0.1:{server.http_port}", str(ROOT / "inference-input.json")
    ended = run(java_or_skip(), str(CLIENT), address, "flower-sample", body)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split("\t") for line in ended.stdout.splitlines()]
    kinds = ["whole", "again", "chunked", "chunked first", *["at once"] * 8, "ready"]
    assert [(kind, status) for kind, status, _ in lines] == [(kind, "200") for kind in kinds], ended.stdout
    *answers, ready = [json.loads(body) for _, _, body in lines]
    assert ready == {"name": "flower-sample", "ready": True}
    expected = saved([(ROOT / "inference-input.png").read_bytes()]).repeat(len(answers), axis=0)
    np.testing.assert_allclose(np.concatenate([probabilities_of(answer) for answer in answers]), expected, atol=1e-3)
