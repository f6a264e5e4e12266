"""The identity of a run: data, settings, code and software, which decide its weights. Same identity, same run."""

import contextlib
import errno
import hashlib
import json
import os
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from distml.step import outcome
from distml.step.atomic_files import flush_to_disk, json_beside, let_others_read, naming, sha256_of_file
from distml.step.volume import Volume
from distml.training.settings import Settings

SOURCE = Path(__file__).resolve().parents[2]
# Modules, and folders of modules, whose change may make other weights or another candidate. A test follows the imports
# of the training script, and fails for a module that is neither here nor on its list of those that cannot.
CODE = (
    "distml/data/fashion_mnist.py",
    "distml/data/input_pipeline.py",
    "distml/model",
    "distml/step/load_tensorflow.py",
    "distml/training/checkpoints.py",
    "distml/training/loop.py",
    "distml/training/optimizer.py",
    "distml/training/replicated_model.py",
    "distml/training/tf_config.py",
    "distml/training/worker.py",
)
# How long another worker may take to write a record that it has begun, on a slow volume.
SECONDS_TO_WRITE = 5


def code_files(source: Path = SOURCE) -> list[str]:
    """List the modules that `CODE` names, as sorted paths relative to `source`; what editors leave is no module."""
    paths = [source / name for name in CODE]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    names = sorted(file.relative_to(source).as_posix() for file in files)
    return [name for name in names if all(map(str.isidentifier, name.removesuffix(".py").split("/")))]


def code_sha256(source: Path = SOURCE) -> str:
    """Hash the names and the texts of the modules that `CODE` names."""
    texts = {name: sha256_of_file(source / name) for name in code_files(source)}
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def identity_of(data_sha256: str, settings: Settings) -> dict[str, Any]:
    """Return the four parts of a run's identity, as they are stored."""
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


def claim_run(volume: Volume, run: str, identity: dict) -> None:
    """Record what `run` stands for, or check that it stands for the same: several jobs and restarts share it.

    Raises:
        StepError: the run holds results of other data, settings, code or software.
    """
    path = volume.run(run) / "run.json"
    with json_beside(path, identity) as mine, contextlib.suppress(FileExistsError):
        try:
            os.link(mine, path)
        except FileExistsError:
            raise
        except OSError:  # many volumes have no hard links, and say so in many ways
            _write_first(path, mine.read_bytes())
    recorded = _read(path)
    other = [key for key in identity if recorded.get(key) != identity[key]]
    if other:
        raise outcome.StepError(
            f"run {run} was made with other {', '.join(other)} (see {path}); choose another --run, or remove"
            f" {path.parent} to start it over"
        )


def _write_first(path: Path, content: bytes) -> None:
    """Write a file that no other process has begun; those that read it meanwhile see a part of it.

    Raises:
        FileExistsError: another process was faster.
    """
    with naming(path), path.open("xb") as file:
        try:
            file.write(content)
            flush_to_disk(file)
        except BaseException as error:
            # An object store may see only now that another process was faster, and calls the file stale.
            if isinstance(error, OSError) and error.errno == errno.ESTALE:
                raise FileExistsError from error
            path.unlink()
            raise
    let_others_read(path, 0o644)


def _read(path: Path) -> dict:
    """The record, once it is whole: another process may be writing it."""
    deadline = time.monotonic() + SECONDS_TO_WRITE
    while (identity := _parsed(path)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if not isinstance(identity, dict):
        raise outcome.StepError(f"{path} is damaged; choose another --run, or remove {path.parent} to start it over")
    return identity


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None
