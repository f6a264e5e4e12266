"""The training loop: the workers train one model after another, each from its last checkpoint, and export it."""

from distml.step.load_tensorflow import tf

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import keras

from distml.data import input_pipeline
from distml.data.input_pipeline import Share
from distml.model import manifest, saved_model
from distml.step.atomic_files import folder_beside, replace_folder
from distml.step.progress_bar import counting, say, working
from distml.step.volume import Volume, candidate_name
from distml.training import failure_record
from distml.training.checkpoints import Checkpoints
from distml.training.group import agreement, worker
from distml.training.group.tf_config import WorkerGroup
from distml.training.group.worker import Watchdog
from distml.training.replicated_model import ReplicatedModel
from distml.training.settings import Settings

# Training steps per call into TensorFlow: enough to hide the call's cost, few enough to notice a stall.
STEPS_PER_CALL = 50


@dataclass(frozen=True)
class TrainingJob:
    """A training, the same for every worker of the group.

    Attributes:
        run: name of the run.
        candidates: models and seeds to train, one after another.
        identity: the run's identity; with `class_names`, part of each candidate's manifest.
        stall_timeout: seconds that a worker may spend without progress.
    """

    volume: Volume
    run: str
    candidates: Sequence[tuple[str, int]]
    settings: Settings
    identity: dict[str, Any]
    class_names: Sequence[str]
    stall_timeout: float


class TrainingLoop:
    """One worker's part of a job, with its connection to the peers and the images in memory."""

    def __init__(self, job: TrainingJob, group: WorkerGroup, strategy: tf.distribute.Strategy, watchdog: Watchdog):
        self._job = job
        self._group = group
        self._strategy = strategy
        self._watchdog = watchdog
        self._share = Share(job.settings.batch_per_worker, group.size, group.index)
        with working("reading the images"):
            self._images = input_pipeline.load_first(job.volume, job.settings.train_images)
            self._held_out = input_pipeline.load(job.volume, "validation")

    def train_and_export(self, model: str, seed: int) -> None:
        """Train a model with a seed on all workers; the chief writes the candidate."""
        job = self._job
        trained, checkpoints = self.train(model, seed)
        with self._bound("finishing the training"), working(f"saving {trained.name}"):
            agreement.on_weights(self._strategy, trained.name, trained.network, self._group.index)
            if self._group.is_chief:
                checkpoints.remove_leftovers()
                facts = {"run": job.run, **job.identity, "class_names": job.class_names}
                facts |= {"model": model, "seed": seed, "hardware": worker.hardware(), **checkpoints.facts()}
                export_candidate(job.volume, trained.exported(), facts)
            agreement.values_of_all(self._strategy, 0)  # a barrier: a worker that exits early would make its peers fail

    def train(self, model: str, seed: int) -> tuple[ReplicatedModel, Checkpoints]:
        """Train a model for all epochs, resuming from its last checkpoint if there is one."""
        job, settings, share = self._job, self._job.settings, self._share
        steps = input_pipeline.steps_per_epoch(len(self._images), share.global_batch)
        held_out, held_out_steps = input_pipeline.evaluation_batches(self._held_out, share)
        with self._bound("preparing the training"), working(f"preparing {candidate_name(model, seed)}"):
            trained = ReplicatedModel(self._strategy, model, seed, settings, steps)
            folders = job.volume.checkpoints(job.run, model, seed), job.volume.logs(job.run, model, seed)
            checkpoints = Checkpoints(trained, self._group.is_chief, *folders)
            first_epoch = checkpoints.restore(settings.epochs)
            batches = iter(input_pipeline.training_batches(self._images, share, seed, first_epoch))
            validation = iter(held_out)
            trained.take_steps(batches, tf.constant(0))  # builds the graph before the clock starts
        for epoch in range(first_epoch, settings.epochs):
            loss, seconds = self._train_epoch(trained, batches, steps, epoch)
            with self._bound(f"the end of epoch {epoch + 1}"):
                correct = float(trained.count_correct(validation, tf.constant(held_out_steps)))
                checkpoints.record(
                    loss=loss,
                    validation_accuracy=correct / len(self._held_out),
                    learning_rate=float(trained.optimizer.learning_rate),
                    images_per_second=steps * share.global_batch / seconds,
                    seconds=seconds,
                )
        return trained, checkpoints

    def _train_epoch(self, model: ReplicatedModel, batches: Iterator, steps: int, epoch: int) -> tuple[float, float]:
        """Run the training steps of one epoch; return the mean loss and the duration in seconds."""
        title = f"{model.name}: epoch {epoch + 1}/{self._job.settings.epochs}"
        started, loss = time.monotonic(), 0.0
        with counting(title, steps, "steps") as bar:
            for done in range(0, steps, STEPS_PER_CALL):
                taken = min(STEPS_PER_CALL, steps - done)
                with self._bound(f"{STEPS_PER_CALL} training steps of epoch {epoch + 1}"):
                    loss += float(model.take_steps(batches, tf.constant(taken)))
                speed = (done + taken) * self._share.global_batch / (time.monotonic() - started)
                bar.advance(taken, f"{speed:,.0f} images/s, loss {loss / (done + taken):.4f}")
        return loss / steps, time.monotonic() - started

    def _bound(self, activity: str) -> AbstractContextManager[None]:
        return self._watchdog.bound(self._job.stall_timeout, activity)


def export_candidate(volume: Volume, network: keras.Model, facts: dict[str, Any]) -> None:
    """Write the SavedModel and its manifest to a temporary folder, then rename that folder to the candidate's name.

    The failure record of an earlier attempt is removed.

    Args:
        volume: the volume.
        network: the trained network, in float32 and outside the strategy, so that any program can load the export.
        facts: entries of the manifest; among them `run`, `model` and `seed`, which name the candidate, and
            `class_names`.
    """
    run, model, seed = facts["run"], facts["model"], facts["seed"]
    candidate = volume.candidate(run, model, seed)
    with folder_beside(candidate) as work:
        saved_model.export(network, facts["class_names"], work)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest.write(work, {**facts, "parameters": network.count_params(), "created": created})
        replace_folder(work, candidate)
    failure_record.remove(volume, run, model, seed)
    say(f"{candidate_name(model, seed)}: candidate written to {candidate}")
