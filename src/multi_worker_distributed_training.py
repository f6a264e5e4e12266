"""Train one model of the table on all workers that TF_CONFIG names, and leave a verified candidate on the volume.

    python3 /multi-worker-distributed-training.py --volume /trained_model --model batchnorm

Every worker of a TFJob runs this command. Without TF_CONFIG it is the one worker. After a crash, start all workers
again: they go on from the last checkpoint.
"""

import argparse
import hashlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import tensorflow_options  # isort: skip  # noqa: F401

import keras
import tensorflow as tf

import arguments
import failure_record
import fashion_mnist
import input_pipeline
import model_manifest
import run_identity
import saved_model
import step
import tf_config
import worker_process
from input_pipeline import TRAIN_IMAGES, Share
from model_variants import MODELS
from progress import Progress
from run_identity import Settings
from training import Training
from volume import folder_beside, replace_folder
from worker_process import Watchdog, values_of_all

# Between two calls Python sees the progress: enough steps to hide the call's cost, few enough to notice a stall.
STEPS_PER_CALL = 50


def main(args: argparse.Namespace) -> None:
    worker_process.end_on_sigterm()
    data = fashion_mnist.verified_manifest(args.volume)
    gang = tf_config.read()
    settings = settings_of(args, len(gang.addresses) if gang else 1)
    identity = run_identity.identity_of(data["data_sha256"], settings)
    run = args.run or run_identity.default_run(identity)
    run_identity.claim_run(args.volume, run, identity)
    candidate = args.volume.candidate(run, args.model)
    speaks = gang is None or gang.index == 0
    if is_finished(candidate, speaks):
        if speaks:
            print(f"{args.model}: already trained in run {run}; its files verify", flush=True)
        return
    try:
        train_and_export(args, run, identity, settings, data["class_names"], candidate)
    except tf.errors.OpError as error:
        reason = (error.message or type(error).__name__).splitlines()[0][:300]
        worker_process.end(f"worker: lost a peer, or TensorFlow failed: {reason}", 1)


def settings_of(args: argparse.Namespace, workers: int) -> Settings:
    return Settings(workers, args.epochs, args.batch_per_worker, args.learning_rate, args.seed, args.train_images)


def is_finished(candidate: Path, speaks: bool) -> bool:
    """Whether the candidate is there and verifies; one that is damaged is named if this process `speaks`."""
    try:
        model_manifest.verified(candidate)
    except step.StepError as error:
        if speaks and candidate.exists():
            print(f"{str(error).partition(';')[0]}; training it again", flush=True)
        return False
    return True


def train_and_export(
    args: argparse.Namespace, run: str, identity: dict, settings: Settings, class_names: list[str], candidate: Path
) -> None:
    """What all workers do together; the chief writes."""
    watchdog = Watchdog()
    strategy = worker_process.join_gang(watchdog, args.start_timeout)
    chief = worker_process.is_chief(strategy)
    training, progress = train(strategy, args, run, settings, watchdog)
    with watchdog.bound(args.stall_timeout, "ending the training together"):
        check_agreement(strategy, training.network)
        if chief:
            facts = {"run": run, "model": args.model, **identity, **progress.facts(), "class_names": class_names}
            export_candidate(training.network, facts, candidate)
            args.volume.failure(run, args.model).unlink(missing_ok=True)
            print(f"{args.model}: candidate written to {candidate}", flush=True)
        values_of_all(strategy, 0)  # a barrier: a worker that leaves early would fail the others


def train(
    strategy: tf.distribute.Strategy, args: argparse.Namespace, run: str, settings: Settings, watchdog: Watchdog
) -> tuple[Training, Progress]:
    """Train for `settings.epochs` epochs, going on from the last checkpoint when there is one."""
    images = input_pipeline.load_first(args.volume, settings.train_images)
    held_out = input_pipeline.load(args.volume, "validation")
    share = Share(settings.batch_per_worker, settings.workers, worker_process.worker_index(strategy))
    steps = input_pipeline.steps_per_epoch(len(images), share.global_batch)
    if not steps:
        raise step.StepError(
            f"a global batch of {share.global_batch} is more than the {len(images)} training images;"
            " lower --batch-per-worker"
        )
    validation, validation_steps = input_pipeline.evaluation_batches(held_out, share)
    with watchdog.bound(args.stall_timeout, "preparing the training"):
        training = Training(strategy, args.model, settings, steps)
        progress = Progress(
            strategy, training, args.volume.checkpoints(run, args.model), args.volume.logs(run, args.model)
        )
        first_epoch = progress.restore(settings.epochs)
        batches = iter(input_pipeline.training_batches(images, share, settings.seed, first_epoch))
        validation = iter(validation)
        training.train(batches, tf.constant(0))  # builds the graph before the clock starts
    for epoch in range(first_epoch, settings.epochs):
        started, loss = time.monotonic(), 0.0
        for done in range(0, steps, STEPS_PER_CALL):
            with watchdog.bound(args.stall_timeout, f"{STEPS_PER_CALL} steps of epoch {epoch + 1}"):
                loss += float(training.train(batches, tf.constant(min(STEPS_PER_CALL, steps - done))))
        seconds = time.monotonic() - started
        with watchdog.bound(args.stall_timeout, f"the end of epoch {epoch + 1}"):
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
    print(f"worker: weights sha256 {sha256}", flush=True)
    if len(set(values_of_all(strategy, int(sha256[:15], 16)))) > 1:
        raise step.StepError("the workers ended with different weights, which is a defect: please report it")


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
        model_manifest.write(work, facts)
        replace_folder(work, folder)


def seed(text: str) -> int:
    """An argparse type: what TensorFlow takes as a seed."""
    return arguments.integer(text, 0, 2**31 - 1)


def train_images(text: str) -> int:
    """An argparse type: how many of the images of the training split."""
    return arguments.integer(text, 1, TRAIN_IMAGES)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", choices=sorted(MODELS), required=True, help="which row of the table of models")
    parser.add_argument(
        "--run", type=run_identity.run_name, help="folder below runs/ (default: a hash of data, settings and code)"
    )
    parser.add_argument("--epochs", type=arguments.positive, default=4, help="passes over the training images")
    parser.add_argument("--batch-per-worker", type=arguments.positive, default=64, help="images per replica and step")
    parser.add_argument("--learning-rate", type=arguments.positive_number, default=6e-3, help="the schedule's peak")
    parser.add_argument("--seed", type=seed, default=1, help="of weights, dropout and the order of images")
    parser.add_argument("--train-images", type=train_images, default=TRAIN_IMAGES, help="fewer, for a quick trial")
    parser.add_argument("--start-timeout", type=arguments.positive, default=300, help="seconds to wait for all workers")
    parser.add_argument("--stall-timeout", type=arguments.positive, default=180, help="seconds without progress")
    return parser.parse_args(argv)


if __name__ == "__main__":
    failure_record.keep_from_now_on(sys.argv[1:])
    step.run(main, parse_args())
