"""The peers: servers that a user could choose instead of the predictor, and the forms in which each is measured.

A form is a set of environment variables that the peer's documentation describes. `serving.py` measures every form
briefly and compares the predictor with the fastest form of each peer.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
Forms = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Peer:
    """A server to compare with.

    `packages` names its file in requirements/peers/ and its environment. In `command`, {bin} is the folder of that
    environment's programs. There and in `variables`, the environment variables of every form, {port} is a free port and
    {folder} an empty folder. `request` is the key of the measured request in serving.py.
    """

    packages: str
    command: list[str]
    forms: Forms
    variables: dict[str, str]
    request: str = "image_bytes"


MLSERVER = {
    "MLSERVER_HOST": "127.0.0.1",
    "MLSERVER_HTTP_PORT": "{port}",
    "MLSERVER_GRPC_PORT": "{grpc_port}",
    "MLSERVER_METRICS_PORT": "{metrics_port}",
    "MLSERVER_DEBUG": "false",  # no log line per request
    "MLSERVER_MODEL_NAME": "flower-sample",
    "MLSERVER_MODEL_IMPLEMENTATION": "with_mlserver.Flower",
}
START_MLSERVER = ["{bin}/mlserver", "start", "."]


def mlserver_form(workers: int, batch: int = 0) -> dict[str, str]:
    batching = {"MLSERVER_MODEL_MAX_BATCH_SIZE": str(batch), "MLSERVER_MODEL_MAX_BATCH_TIME": "0.001"}
    return {"MLSERVER_PARALLEL_WORKERS": str(workers), **(batching if batch else {})}


BENTOML_LISTENS = ["--host", "127.0.0.1", "--port", "{port}"]
FAST_RAY = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"}
PEERS = {
    "MLServer": Peer(
        "mlserver",
        START_MLSERVER,
        {
            "no parallel workers": mlserver_form(workers=0),
            "1 parallel worker (default)": mlserver_form(workers=1),
            "2 parallel workers": mlserver_form(workers=2),
            "no parallel workers, batches of 16": mlserver_form(workers=0, batch=16),
            "2 parallel workers, batches of 16": mlserver_form(workers=2, batch=16),
        },
        MLSERVER,
        "image_bytes by V2",
    ),
    "MLServer's own route": Peer(
        "mlserver", START_MLSERVER, {"no parallel workers": mlserver_form(workers=0)}, MLSERVER
    ),
    "LitServe": Peer(
        "litserve",
        ["{bin}/python", str(HERE / "with_litserve.py")],
        {
            "1 worker (default)": {"WORKERS": "1", "BATCH": "1"},
            "2 workers": {"WORKERS": "2", "BATCH": "1"},
            "1 worker, batches of 16": {"WORKERS": "1", "BATCH": "16"},
            "2 workers, batches of 16": {"WORKERS": "2", "BATCH": "16"},
        },
        {"PORT": "{port}"},
    ),
    "BentoML": Peer(
        "bentoml",
        ["{bin}/bentoml", "serve", "with_bentoml:Flower", "--working-dir", str(HERE), *BENTOML_LISTENS],
        {
            "1 worker (default), synchronous": {"WORKERS": "1", "API": "sync"},
            "1 worker, asynchronous": {"WORKERS": "1", "API": "async"},
            "2 workers, asynchronous": {"WORKERS": "2", "API": "async"},
            "1 worker, adaptive batching": {"WORKERS": "1", "API": "batched"},
            "2 workers, adaptive batching": {"WORKERS": "2", "API": "batched"},
        },
        {"BENTOML_HOME": "{folder}", "BENTOML_DO_NOT_TRACK": "True"},
    ),
    "Ray Serve": Peer(
        "ray-serve",
        ["{bin}/python", str(HERE / "with_ray_serve.py")],
        {
            "1 replica (default)": {"REPLICAS": "1", "BATCH": "1"},
            "1 replica, high throughput": {"REPLICAS": "1", "BATCH": "1", **FAST_RAY},
            "2 replicas, high throughput": {"REPLICAS": "2", "BATCH": "1", **FAST_RAY},
            "1 replica, high throughput, batches of 16": {"REPLICAS": "1", "BATCH": "16", **FAST_RAY},
        },
        {"PORT": "{port}", "RAY_TMPDIR": "{folder}", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
}


def names(text: str) -> list[str]:
    """Parse names of peers, separated by commas, or "none" (argparse type)."""
    found = [] if text == "none" else [name.strip() for name in text.split(",")]
    if unknown := [name for name in found if name not in PEERS]:
        expected = f"expected none, or some of {', '.join(PEERS)}, separated by commas"
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(unknown)}; {expected}")
    return found
