"""What decides the weights that a run ends with: data, settings, code and software. Same identity, same run."""

import argparse
import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import step
from training_settings import Settings
from volume import Volume, json_beside, sha256_of_file

# The modules whose change makes another model.
CODE = (
    "fashion_mnist.py",
    "image_decoding.py",
    "input_pipeline.py",
    "model_variants.py",
    "multi_worker_distributed_training.py",
    "saved_model.py",
    "tensorflow_options.py",
    "training.py",
    "training_settings.py",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def code_sha256() -> str:
    """One hash over the modules in `CODE`."""
    folder = Path(__file__).resolve().parent
    return hashlib.sha256("".join(sha256_of_file(folder / name) for name in CODE).encode()).hexdigest()


def identity_of(data_sha256: str, settings: Settings) -> dict:
    """The four parts of a run's identity, as they are stored."""
    return {
        "data_sha256": data_sha256,
        "code_sha256": code_sha256(),
        "software": software(),
        "settings": asdict(settings),
    }


def software() -> dict[str, str]:
    """The versions of what trains, as they are installed: loading TensorFlow takes seconds."""
    return {"tensorflow": _tensorflow_version(), "keras": metadata.version("keras")}


def _tensorflow_version() -> str:
    try:
        return metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        return metadata.version("tensorflow")


def default_run(identity: dict) -> str:
    """The name of a run that nobody named: a hash of its identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def run_name(text: str) -> str:
    """An argparse type: a run's name is one plain folder name, such as a workflow's."""
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no plain folder name; use letters, digits, dots, - and _")
    return text


def claim_run(volume: Volume, run: str, identity: dict) -> None:
    """Record what `run` stands for, or check that it stands for the same: several jobs and restarts share it.

    Raises:
        StepError: the run holds results of other data, settings, code or software.
    """
    path = volume.run(run) / "run.json"
    with json_beside(path, identity) as mine, contextlib.suppress(FileExistsError):
        os.link(mine, path)
    recorded = _read(path)
    other = [key for key in identity if recorded.get(key) != identity[key]]
    if other:
        raise step.StepError(
            f"run {run} was made with other {', '.join(other)} (see {path}); choose another --run, or remove"
            f" {path.parent} to start it over"
        )


def _read(path: Path) -> dict:
    try:
        identity = json.loads(path.read_text())
    except ValueError:
        identity = None
    if not isinstance(identity, dict):
        raise step.StepError(f"{path} is damaged; choose another --run, or remove {path.parent} to start it over")
    return identity
