"""The OpenAPI page, and the predictor's answers to requests generated from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.predictor_process import INFER, READY, Predictor

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_the_openapi_page_describes_only_the_offered_routes(server: Predictor) -> None:
    paths = server.get("/openapi.json")[1]["paths"]
    of_this_model = {path.replace("{model_name}", "flower-sample"): methods for path, methods in paths.items()}
    places = ("", "/versions/{version}", "/labels/{label}")
    posts = {f"/v1/models/flower-sample{place}:predict" for place in places}
    posts |= {INFER, INFER.replace("/infer", "/versions/{version}/infer")}
    assert {path for path, methods in of_this_model.items() if "post" in methods} == posts
    assert {
        READY,
        *(f"/v1/models/flower-sample{place}/{rest}" for place in places for rest in ("metadata", "drift")),
    } < of_this_model.keys()


def test_generated_requests_get_described_answers_and_no_server_error(server: Predictor, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run"]
    command += [f"http://127.0.0.1:{server.http_port}/openapi.json", f"--checks={CHECKS}", "--phases=coverage,fuzzing"]
    # One worker: in Python 3.11 `ast.parse`, which hypothesis calls, may fail in two threads at once (SystemError).
    # Paths with a version or label differ only in what precedes the same routes.
    command += ["--exclude-path-regex=versions|labels"]
    command += ["--max-examples=60", "--seed=1", "--workers=1", "--no-color", "--generation-database=none"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    (generated,) = re.findall(r"([\d,]+) generated", result.stdout)
    assert 600 <= int(generated.replace(",", "")) <= 5000, result.stdout[-1500:]
    assert server.get(READY)[0] == 200
