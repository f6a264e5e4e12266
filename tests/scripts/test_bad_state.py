"""A damaged volume, a wrong environment or a wrong input: the scripts print one line with the remedy."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import data_ingestion
import http_client
import local_pipeline
import model_selection
import multi_worker_distributed_training as training
import predict_service
import sample_request as inference_input
from distml.data import fashion_mnist
from distml.model import manifest
from distml.step import atomic_files, outcome
from distml.step.volume import Volume
from distml.training import run_identity
from distml.training.group import tf_config

DATA = {**fashion_mnist.FACTS, "files": {}}
IDENTITY = {"data_sha256": "data", "code_sha256": "code", "settings": {}}


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    volume = Volume(tmp_path)
    volume.dataset.mkdir(parents=True)
    (volume.dataset / fashion_mnist.MANIFEST).write_text(json.dumps(DATA))
    return volume


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"files": {}}'),
        json.dumps({**DATA, "files": []}),
        *(json.dumps({**DATA, fact: "another"}) for fact in fashion_mnist.FACTS),
    ],
)
def test_a_damaged_data_manifest_is_reported_with_the_remedy(volume: Volume, content: Any) -> None:
    path = volume.dataset / fashion_mnist.MANIFEST
    path.write_text(content)
    with pytest.raises(outcome.StepError) as refused:
        fashion_mnist.verified_manifest(volume)
    assert str(refused.value) == f"{path} is damaged; remove {volume.dataset} and run data ingestion"


@pytest.mark.parametrize(
    ("make", "state"), [(None, "is missing"), (Path.mkdir, "is damaged"), (os.mkfifo, "is damaged")]
)
def test_a_data_set_without_its_manifest_is_not_ingested_over(volume: Volume, make: Any, state: str) -> None:
    """Ingestion finds the folder and leaves it alone, so to run ingestion alone would be no remedy."""
    path = volume.dataset / fashion_mnist.MANIFEST
    path.unlink()
    if make:
        make(path)
    with pytest.raises(outcome.StepError) as refused:
        data_ingestion.main(data_ingestion.parse_args(["--volume", str(volume)]))
    assert str(refused.value) == f"{path} {state}; remove {volume.dataset} and run data ingestion"


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_run_record_is_reported_with_the_remedy(
    volume: Volume, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic_files, "SECONDS_TO_WRITE", 0)
    run_identity.claim_run(volume, "mine", IDENTITY)
    path = volume.run("mine") / "run.json"
    path.write_text(content)
    with pytest.raises(outcome.StepError) as refused:
        run_identity.claim_run(volume, "mine", IDENTITY)
    assert str(refused.value).startswith(f"{path} is damaged; choose another --run, or remove {path.parent}")
    assert list(path.parent.iterdir()) == [path]


def config(addresses: list, index: int, kind: str = "worker") -> str:
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (config(["a:1", "b"], 0), "'b' is not host:port"),
        (config(["a:1", ":2"], 0), "':2' is not host:port"),
        (config(["a:1", "b:70000"], 0), "'b:70000' is not host:port"),
        (config(["a:0"], 0), "'a:0' is not host:port"),
        (config(["a:1", "b:2"], -1), "there is no worker -1"),
        (config(["a:1", "b:2"], 2), "there is no worker 2"),
        (config([1], 0), "1 is not host:port"),
    ],
)
def test_a_tf_config_with_an_invalid_address_or_index_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: Any, reason: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(outcome.StepError, match=reason) as refused:
        tf_config.read()
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    ("parse", "option", "value", "limit"),
    [
        (training.parse_args, "--seed", 2_000_000_001, "from 0 to 2000000000"),
        (training.parse_args, "--seeds", 101, "from 1 to 100"),
        (training.parse_args, "--train-images", 55_001, "from 1 to 55000"),
        (local_pipeline.parse_args, "--train-images", 55_001, "from 1 to 55000"),
        (inference_input.parse_args, "--index", 10_000, "from 0 to 9999"),
    ],
)
def test_an_option_above_its_limit_is_refused(
    capsys: pytest.CaptureFixture[str], parse: Any, option: str, value: int, limit: str
) -> None:
    model = ["--model", "plain"] if parse is training.parse_args else []
    assert parse([*model, option, str(value - 1)])
    with pytest.raises(SystemExit) as ended:
        parse([*model, option, str(value)])
    assert ended.value.code == 2
    assert limit in capsys.readouterr().err


def test_any_error_of_pillow_about_a_file_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.png").write_bytes(b"")

    def decode(data: bytes) -> None:
        raise IndexError("an error of the decoder")

    monkeypatch.setattr(predict_service.image_decoding, "decode", decode)
    with pytest.raises(outcome.StepError, match="is not an intact PNG or JPEG image"):
        predict_service.read_image(tmp_path / "image.png")


@pytest.mark.parametrize(
    ("status", "content", "reason", "exit_status"),
    [
        (200, b"<html>", "something that is not JSON", 2),
        (200, b"[]", "is not a prediction", 2),
        (200, b'{"predictions": []}', "is not a prediction", 2),
        (400, b'{"error": "no image"}', "answered 400: no image", 2),
        (503, b'{"error": "overloaded"}', "answered 503: overloaded", 1),
    ],
)
def test_an_answer_without_a_prediction_is_reported_in_one_line(
    tmp_path: Path, status: int, content: bytes, reason: str, exit_status: int
) -> None:
    class OtherServer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    (tmp_path / "image.png").write_bytes(b"image")
    with HTTPServer(("127.0.0.1", 0), OtherServer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        options = ["--host", "127.0.0.1", "--port", str(server.server_port), str(tmp_path / "image.png")]
        with pytest.raises(outcome.StepError, match=reason) as ended:
            http_client.main(http_client.parse_args(options))
    assert ended.value.exit_status == exit_status


def candidate(volume: Volume, model: str, data_sha256: str) -> None:
    folder = volume.candidate("run", model, 1)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(model)
    facts = {"data_sha256": data_sha256, "created": "now", "metrics": {"validation_accuracy": 0.9}}
    manifest.write(folder, facts)


def test_selection_on_a_damaged_data_set_is_refused_in_one_line(volume: Volume) -> None:
    candidate(volume, "plain", DATA["data_sha256"])
    (volume.dataset / fashion_mnist.MANIFEST).write_text(json.dumps({**DATA, "files": {"record": "sha256"}}))
    with pytest.raises(outcome.StepError, match=r"record is missing; remove .* and run data ingestion"):
        model_selection.main(model_selection.parse_args(["--volume", str(volume)]))
