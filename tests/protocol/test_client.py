"""The clients' shared functions, and the HTTP client without installed packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from distml.protocol import client
from support.project import SOURCE


def test_a_v1_request_contains_each_file_in_base64() -> None:
    instances = [{"image_bytes": {"b64": "YQ=="}}, {"image_bytes": {"b64": "YmM="}}]
    assert client.v1_request([b"a", b"bc"]) == {"instances": instances}


def test_predictions_are_listed_below_the_model_that_answered() -> None:
    table = client.prediction_table("flower-sample", "3", [(Path("a.png"), "Coat", 0.786), (Path("b.png"), "Bag", 1)])
    assert table.splitlines() == [
        "flower-sample, version 3",
        "",
        "image  class  probability",
        "-----  -----  -----------",
        "a.png  Coat         78.6%",
        "b.png  Bag         100.0%",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b'{"error": "no images"}', "no images"), (b"<h1>Bad gateway</h1>\n", "<h1>Bad gateway</h1>"), (b"[]", "[]")],
)
def test_the_reason_for_a_refusal_comes_from_predictor_or_proxy(content: bytes, sentence: str) -> None:
    assert client.refusal_sentence(content) == sentence


def test_the_http_client_starts_without_installed_packages() -> None:
    command = [sys.executable, "-S", str(SOURCE / "http_client.py"), "--help"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
