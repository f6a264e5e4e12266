"""The identity of a run: the data, settings, code and software that decide its weights. Same identity, same run."""

import contextlib
import hashlib
import json
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from distml.model import manifest as model_manifest
from distml.step import atomic_files, outcome
from distml.step.atomic_files import create_json, sha256_of_file
from distml.step.volume import Volume, read_created_json
from distml.training.precision import AUTO, BFLOAT16, FLOAT32
from distml.training.settings import Settings

SOURCE = Path(__file__).resolve().parents[2]
# Modules, and folders of modules, that decide the weights or the candidate. A test follows the imports of the training
# script, and fails for a module that is neither listed here nor on the test's list of those without an effect.
CODE = (
    "distml/data/fashion_mnist.py",
    "distml/data/input_pipeline.py",
    "distml/model",
    "distml/step/load_tensorflow.py",
    "distml/training/checkpoints.py",
    "distml/training/loop.py",
    "distml/training/optimizer.py",
    "distml/training/replicated_model.py",
    "distml/training/group/agreement.py",
    "distml/training/group/mean.py",
    "distml/training/group/tf_config.py",
    "distml/training/group/worker.py",
)


def code_files(source: Path = SOURCE) -> list[str]:
    """List the modules in `CODE` as sorted paths relative to `source`, without the files that editors leave."""
    paths = [source / name for name in CODE]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    names = sorted(file.relative_to(source).as_posix() for file in files)
    return [name for name in names if all(map(str.isidentifier, name.removesuffix(".py").split("/")))]


def code_sha256(source: Path = SOURCE) -> str:
    """Return one digest of the paths and contents of all modules in `CODE`."""
    digests = {name: sha256_of_file(source / name) for name in code_files(source)}
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def identity_of(data_sha256: str, settings: Settings) -> dict[str, Any]:
    """Return the four parts of a run's identity, as stored in run.json."""
    return {
        "data_sha256": data_sha256,
        "code_sha256": code_sha256(),
        "software": software(),
        "settings": asdict(settings),
    }


def software() -> dict[str, str]:
    """Return the installed versions of TensorFlow and Keras, without loading them, which takes seconds."""
    return {"tensorflow": _tensorflow_version(), "keras": metadata.version("keras")}


def _tensorflow_version() -> str:
    try:
        return metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        return metadata.version("tensorflow")


def default_run(identity: dict) -> str:
    """Return the name of a run without --run: a hash of its identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def with_recorded_precision(volume: Volume, run: str | None, data_sha256: str, settings: Settings) -> Settings:
    """Return `settings` with the precision of the run that they continue, if precision is `AUTO` and a run exists.

    A run keeps its precision on every machine. If the unnamed runs of both precisions exist, neither is preferred.
    """
    if settings.precision != AUTO:
        return settings
    both = [settings.with_precision(precision) for precision in (FLOAT32, BFLOAT16)]
    if run is None:
        found = [one for one in both if volume.run(default_run(identity_of(data_sha256, one))).exists()]
    else:
        record = volume.run(run) / "run.json"
        recorded = _read(record).get("settings") if record.exists() else None
        found = [one for one in both if isinstance(recorded, dict) and recorded.get("precision") == one.precision]
    return found[0] if len(found) == 1 else settings


def claim_agreed(volume: Volume, run: str | None, data_sha256: str, settings: Settings) -> Settings:
    """Claim a run in the precision on which the workers of one model agreed; return the settings that hold for it.

    The groups of a workflow's models share a run. On different nodes they may agree on different precisions at the same
    moment. The first claim holds for all of them.

    Raises:
        StepError: the run was made with other data, settings, code or software.
    """
    try:
        claim(volume, run, data_sha256, settings)
    except outcome.StepError:
        recorded = with_recorded_precision(volume, run, data_sha256, settings.with_precision(AUTO))
        claim(volume, run, data_sha256, recorded)
        return recorded
    return settings


def claim(volume: Volume, run: str | None, data_sha256: str, settings: Settings) -> tuple[str, dict[str, Any]]:
    """Claim the run with this name, by default a hash of its identity; return its name and identity.

    Raises:
        StepError: the run was made with other data, settings, code or software.
    """
    identity = identity_of(data_sha256, settings)
    name = run or default_run(identity)
    claim_run(volume, name, identity)
    return name, identity


def claim_run(volume: Volume, run: str, identity: dict) -> None:
    """Record the identity of `run`, or compare it with the recorded one: several jobs and restarts share a run.

    Raises:
        StepError: the run was made with other data, settings, code or software.
    """
    path = volume.run(run) / "run.json"
    results = [*path.parent.glob("candidates/[!.]*"), *path.parent.glob("checkpoints/[!.]*")]
    # In this order: another job may claim the run at this moment, and then train.
    if results and not path.exists() and not _belong_to(identity, run, results):
        raise outcome.StepError(f"{path} is missing; choose another --run, or remove {path.parent} to start it over")
    with contextlib.suppress(FileExistsError):
        create_json(path, identity)
    recorded = _read(path)
    different = [key for key in identity if recorded.get(key) != identity[key]]
    if different:
        raise outcome.StepError(
            f"run {run} was made with other {', '.join(different)} (see {path}); choose another --run, or remove"
            f" {path.parent} to start it over"
        )


def _belong_to(identity: dict, run: str, results: list[Path]) -> bool:
    """Return whether a run that lost its record has this identity: by its name, or by the manifest of a candidate."""
    for folder in results:
        with contextlib.suppress(outcome.StepError):
            manifest = model_manifest.read(folder)
            return all(manifest[key] == part for key, part in identity.items() if key in manifest)
    return run == default_run(identity)


def _read(record: Path) -> dict:
    identity = read_created_json(record, atomic_files.SECONDS_TO_WRITE)
    if not isinstance(identity, dict):
        raise outcome.StepError(
            f"{record} is damaged; choose another --run, or remove {record.parent} to start it over"
        )
    return identity
