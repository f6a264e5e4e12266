"""Train models of the table on all workers that TF_CONFIG names, and leave a verified candidate of each on the volume.

    python3 /multi-worker-distributed-training.py --volume /trained_model --model batchnorm

Every worker of a TFJob runs this command. Without TF_CONFIG it is the one worker. After a crash, start all workers
again: they go on from the last checkpoint.
"""

from distml.step.load_tensorflow import tf

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras

from distml.data import fashion_mnist, input_pipeline
from distml.data.input_pipeline import Share, Split
from distml.model import manifest, names, saved_model
from distml.model.variants import MODELS
from distml.publishing import candidates
from distml.step import command_line, disk_errors, outcome, progress_bar
from distml.step.atomic_files import folder_beside, replace_folder
from distml.step.progress_bar import say
from distml.step.volume import Volume
from distml.training import failure_record, run_identity, tf_config, worker
from distml.training import settings as training_settings
from distml.training.checkpoints import Progress
from distml.training.replicated_model import Training
from distml.training.settings import Settings
from distml.training.worker import Watchdog, values_of_all

# Between two calls Python sees the progress: enough steps to hide the call's cost, few enough to notice a stall.
STEPS_PER_CALL = 50


def main(args: argparse.Namespace) -> None:
    worker.end_on_sigterm()
    data = fashion_mnist.verified_manifest(args.volume)
    gang = tf_config.read()
    settings = training_settings.of(args, len(gang.addresses) if gang else 1)
    identity = run_identity.identity_of(data["data_sha256"], settings)
    run = args.run or run_identity.default_run(identity)
    run_identity.claim_run(args.volume, run, identity)
    if gang:
        progress_bar.speak_as(f"worker {gang.index}", draw=gang.index == 0)
    speaks = gang is None or gang.index == 0
    models = candidates.unfinished(args.volume, run, args.model, speaks)
    if not models:
        return
    job = TrainingJob(args.volume, run, settings, args.stall_timeout)
    try:
        train_and_export(job, models, {"run": run, **identity, "class_names": data["class_names"]}, args.start_timeout)
    except tf.errors.OpError as error:
        if disk_error := disk_errors.cause(error):
            worker.end(f"worker: {outcome.said_by_the_system(disk_error)[0]}", 1)
        reason = (error.message or type(error).__name__).splitlines()[0][:300]
        worker.end(f"worker: lost a peer, or TensorFlow failed: {reason}", 1)


@dataclass(frozen=True)
class TrainingJob:
    """What all models are trained by; `stall_timeout`: seconds that a worker may be without progress."""

    volume: Volume
    run: str
    settings: Settings
    stall_timeout: float


def train_and_export(job: TrainingJob, models: Sequence[str], facts: dict, start_timeout: float) -> None:
    """Train one model after the other on all workers; the chief writes the candidates, whose manifests hold `facts`."""
    watchdog = Watchdog()
    strategy = worker.join_gang(watchdog, start_timeout)
    chief = worker.is_chief(strategy)
    with progress_bar.working("reading the images"):
        images = input_pipeline.load_first(job.volume, job.settings.train_images)
        held_out = input_pipeline.load(job.volume, "validation")
    for model in models:
        training, progress = train(strategy, job, model, images, held_out, watchdog)
        with watchdog.bound(job.stall_timeout, "ending the training together"), progress_bar.working(f"saving {model}"):
            check_agreement(strategy, training.network)
            if chief:
                candidate = job.volume.candidate(job.run, model)
                export_candidate(training.network, {**facts, "model": model, **progress.facts()}, candidate)
                job.volume.failure(job.run, model).unlink(missing_ok=True)
                say(f"{model}: candidate written to {candidate}")
            values_of_all(strategy, 0)  # a barrier: a worker that leaves early would fail the others


def train(
    strategy: tf.distribute.Strategy, job: TrainingJob, model: str, images: Split, held_out: Split, watchdog: Watchdog
) -> tuple[Training, Progress]:
    """Train `model` for all epochs, going on from the last checkpoint when there is one."""
    settings = job.settings
    share = Share(settings.batch_per_worker, settings.workers, worker.worker_index(strategy))
    steps = input_pipeline.steps_per_epoch(len(images), share.global_batch)
    if not steps:
        raise outcome.StepError(
            f"a global batch of {share.global_batch} is more than the {len(images)} training images;"
            " lower --batch-per-worker"
        )
    validation, validation_steps = input_pipeline.evaluation_batches(held_out, share)
    with watchdog.bound(job.stall_timeout, "preparing the training"), progress_bar.working(f"preparing {model}"):
        training = Training(strategy, model, settings, steps)
        progress = Progress(strategy, training, job.volume.checkpoints(job.run, model), job.volume.logs(job.run, model))
        first_epoch = progress.restore(settings.epochs)
        batches = iter(input_pipeline.training_batches(images, share, settings.seed, first_epoch))
        validation = iter(validation)
        training.train(batches, tf.constant(0))  # builds the graph before the clock starts
    for epoch in range(first_epoch, settings.epochs):
        started, loss = time.monotonic(), 0.0
        with progress_bar.counting(f"{model}: epoch {epoch + 1}/{settings.epochs}", steps, "steps") as bar:
            for done in range(0, steps, STEPS_PER_CALL):
                taken = min(STEPS_PER_CALL, steps - done)
                with watchdog.bound(job.stall_timeout, f"{STEPS_PER_CALL} steps of epoch {epoch + 1}"):
                    loss += float(training.train(batches, tf.constant(taken)))
                speed = (done + taken) * share.global_batch / (time.monotonic() - started)
                bar.advance(taken, f"{speed:,.0f} images/s, loss {loss / (done + taken):.4f}")
        seconds = time.monotonic() - started
        with watchdog.bound(job.stall_timeout, f"the end of epoch {epoch + 1}"):
            right = float(training.evaluate(validation, tf.constant(validation_steps)))
            progress.record(
                loss=loss / steps,
                validation_accuracy=right / len(held_out),
                learning_rate=float(training.optimizer.learning_rate),
                images_per_second=steps * share.global_batch / seconds,
                seconds=seconds,
            )
    return training, progress


def check_agreement(strategy: tf.distribute.Strategy, network: keras.Model) -> None:
    """Fail unless every worker holds the same weights and BatchNorm statistics, bit for bit."""
    sha256 = hashlib.sha256(b"".join(weight.tobytes() for weight in network.get_weights())).hexdigest()
    say(f"worker: weights sha256 {sha256}")
    if len(set(values_of_all(strategy, int(sha256[:15], 16)))) > 1:
        raise outcome.StepError("the workers ended with different weights, which is a defect: please report it")


def export_candidate(trained: keras.Model, facts: dict, folder: Path) -> None:
    """Write the SavedModel and its manifest beside, then rename: `folder` is whole or not there."""
    network = MODELS[facts["model"]]()  # outside the strategy: a plain copy that any program can load
    network.set_weights(trained.get_weights())
    with folder_beside(folder) as work:
        saved_model.export(network, facts["class_names"], work)
        facts = {
            **facts,
            "parameters": network.count_params(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        manifest.write(work, facts)
        replace_folder(work, folder)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--model", type=names.models, required=True, help="rows of the table of models, one after the other"
    )
    parser.add_argument(
        "--run", type=command_line.run_name, help="folder below runs/ (default: a hash of data, settings and code)"
    )
    training_settings.add_options(parser)
    parser.add_argument(
        "--start-timeout", type=command_line.positive, default=300, help="seconds to wait for all workers"
    )
    parser.add_argument("--stall-timeout", type=command_line.positive, default=180, help="seconds without progress")
    return parser.parse_args(argv)


if __name__ == "__main__":
    failure_record.keep_from_now_on(sys.argv[1:])
    outcome.run(main, parse_args())
