"""What decides the weights that a run ends with: the data, the settings and the code. Same identity, same run."""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import step
from volume import Volume, sha256_of_file

# The modules whose change makes another model.
CODE = (
    "image_decoding.py",
    "input_pipeline.py",
    "model_variants.py",
    "multi_worker_distributed_training.py",
    "saved_model.py",
    "training.py",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Settings:
    """What a user can set. global batch = batch_per_worker * workers."""

    workers: int
    epochs: int
    batch_per_worker: int
    learning_rate: float
    seed: int
    train_images: int


def code_sha256() -> str:
    """One hash over the modules in `CODE`."""
    folder = Path(__file__).resolve().parent
    return hashlib.sha256("".join(sha256_of_file(folder / name) for name in CODE).encode()).hexdigest()


def identity_of(data_sha256: str, settings: Settings) -> dict:
    """The three parts of a run's identity, as they are stored."""
    return {"data_sha256": data_sha256, "code_sha256": code_sha256(), "settings": asdict(settings)}


def default_run(identity: dict) -> str:
    """The name of a run that nobody named: a hash of its identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def run_name(text: str) -> str:
    """An argparse type: a run's name is one plain folder name, such as a workflow's."""
    if not NAME.fullmatch(text):
        raise ValueError(text)
    return text


def claim_run(volume: Volume, run: str, identity: dict) -> None:
    """Record what `run` stands for, or check that it stands for the same: several jobs and restarts share it.

    Raises:
        StepError: the run holds results of other data, settings or code.
    """
    path = volume.run(run) / "run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, mine = tempfile.mkstemp(prefix=".run.json-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        json.dump(identity, file, indent=2)
    Path(mine).chmod(0o644)
    try:
        os.link(mine, path)
    except FileExistsError:
        theirs = json.loads(path.read_text())
        other = [key for key in identity if theirs.get(key) != identity[key]]
        if other:
            raise step.StepError(
                f"run {run} was made with another {', '.join(other)} (see {path}); choose another --run, or remove"
                f" {path.parent} to start it over"
            ) from None
    finally:
        Path(mine).unlink()
