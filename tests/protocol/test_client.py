"""What the clients share, and that the HTTP client needs Python alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from distml.protocol import client
from support.project import SOURCE


def test_a_v1_request_holds_each_file_in_base64() -> None:
    instances = [{"image_bytes": {"b64": "YQ=="}}, {"image_bytes": {"b64": "YmM="}}]
    assert client.v1_request([b"a", b"bc"]) == {"instances": instances}


def test_predictions_are_shown_below_the_model_that_answered() -> None:
    shown = client.prediction_table("flower-sample", "3", [(Path("a.png"), "Coat", 0.786), (Path("b.png"), "Bag", 1)])
    assert shown.splitlines() == [
        "flower-sample, version 3",
        "",
        "image  class  probability",
        "-----  -----  -----------",
        "a.png   Coat        78.6%",
        "b.png    Bag       100.0%",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b'{"error": "no images"}', "no images"), (b"<h1>Bad gateway</h1>\n", "<h1>Bad gateway</h1>"), (b"[]", "[]")],
)
def test_a_refusal_is_the_predictors_sentence_or_what_a_proxy_says(content: bytes, sentence: str) -> None:
    assert client.refusal_sentence(content) == sentence


def test_the_http_client_starts_without_installed_packages() -> None:
    command = [sys.executable, "-S", str(SOURCE / "http_client.py"), "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
