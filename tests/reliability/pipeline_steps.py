"""The steps under attack: a volume as each finds it, and its command line."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from distml.model import manifest
from distml.publishing.versions import publication
from distml.step.volume import Volume
from support import signing_keys
from support.crashes import candidate
from support.forked_steps import ForkedSteps
from support.runs import write_run

RUN = "run"
TRAINING = ("--model", "plain", "--run", RUN, "--epochs", 3, "--train-images", 1280)


class Step(NamedTuple):
    """A step: its script with options, and the template of its volume."""

    name: str
    template: Path
    command: tuple[object, ...]
    public_key: Path

    def run(self, steps: ForkedSteps, root: Path) -> CompletedProcess[str]:
        """Run the step on the volume with this root."""
        script, *options = self.command
        # A subcommand comes before its options.
        first = [options.pop(0)] if script == "pipeline_admin.py" else []
        return steps.run(str(script), *first, "--volume", root, *options)

    def copy(self, folder: Path) -> Volume:
        """Copy the template to the new folder `folder`; links, such as that to the data set, stay links."""
        return Volume(Path(shutil.copytree(self.template, folder, symlinks=True)))


def prepare(folder: Path, source: Path, data: Path, steps: ForkedSteps) -> list[Step]:
    """Make the templates with real steps; return all steps.

    Args:
        folder: a new folder for the templates.
        source: folder with the four published files of the data set.
        data: folder with the ingested data set.
        steps: runs them.
    """
    keys = signing_keys.make(folder, "key")
    makers: Sequence[tuple[str, Callable[[Volume], object], tuple[object, ...]]] = (
        ("ingestion", lambda volume: None, ("data_ingestion.py", "--source", source)),
        ("training", lambda volume: link(volume, data), ("multi_worker_distributed_training.py", *TRAINING)),
        (
            "selection",
            lambda volume: train_beside_versions(volume, data, steps),
            *(("model_selection.py", "--accuracy-floor=0.01", "--keep-versions=2", f"--signing-key={keys.private}"),),
        ),
        ("release", publish_three, ("pipeline_admin.py", "release", "--version=3", "--reason=it is good")),
        ("withdrawal", publish_three, ("pipeline_admin.py", "withdraw", "--version=3", "--reason=it is bad")),
        ("roll-back", publish_three, ("pipeline_admin.py", "roll-back", "--to=1", "--reason=they are bad")),
        ("removal of runs", write_runs, ("pipeline_admin.py", "remove-runs", "--keep=1")),
    )
    found = []
    for name, make, command in makers:
        volume = Volume(folder / name)
        volume.root.mkdir()
        make(volume)
        found.append(Step(name, volume.root, command, keys.public))
    return found


def link(volume: Volume, data: Path) -> None:
    volume.dataset.parent.symlink_to(data.parent)


def train_beside_versions(volume: Volume, data: Path, steps: ForkedSteps) -> None:
    link(volume, data)
    publish_three(volume)
    ended = steps.run("multi_worker_distributed_training.py", "--volume", volume, *TRAINING)
    assert ended.returncode == 0, ended.stderr


def publish_three(volume: Volume) -> None:
    for number in range(3):
        folder = candidate(volume)
        (folder / "saved_model.pb").write_bytes(f"model {number}".encode())
        manifest.write(folder, {"model": "plain"})
        publication.publish(volume, folder, {}, keep=5)
        shutil.rmtree(folder)


def write_runs(volume: Volume) -> None:
    for days in range(3):
        write_run(volume, f"of-day-{days}", days)
