"""Faults of the workers of a real training, at random moments: the weights must be those of an undisturbed one."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from conftest import with_data
from distml.step import outcome
from distml.step.volume import Volume
from reliability.promises import Promise, attack
from support.disturbed_group import EPOCHS, MODEL, DisturbedGroup, result, start

# Longer than two timeouts, the end of a stopped worker and a restart, on a busy machine.
SECONDS_TO_END = 240

Record = Callable[[str, object], None]


class Moment(NamedTuple):
    """A part of the training: it begins with a line or a file, and the fault comes up to `seconds` later."""

    line: str
    seconds: float
    file: str = ""


MOMENTS = {
    "start": Moment("ready", 4),
    "join": Moment("waiting for worker", 0.4),
    "connection": Moment("all 2 workers are there", 1.5),
    "first step": Moment("training in", 4),
    "first epochs": Moment("epoch 1/", 2),
    "checkpoint": Moment("training in", 0.1, f"checkpoints/{MODEL}-seed1/*"),
    "last epoch": Moment(f"epoch {EPOCHS - 1}/", 1),
    "export": Moment("weights sha256", 0.5, f"candidates/.{MODEL}-seed1-*"),
    "end": Moment("candidate written", 0.2),
}


# In these moments the workers are connected.
CONNECTED = sorted({*MOMENTS} - {"start", "join", "end"})


def moments(times: int, possible: Sequence[str]) -> tuple[int, random.Random, list[str]]:
    """Return a seed, its random numbers, and a random order of the moments, each about equally often.

    The environment variable ATTACK_SEED repeats the order of an earlier attack.
    """
    seed = int(os.environ.get("ATTACK_SEED", random.randrange(1_000_000)))
    choice = random.Random(seed)
    names: list[str] = []
    while len(names) < times:
        names += choice.sample(possible, len(possible))
    print(f"seed {seed}: {names[:times]}")
    return seed, choice, names[:times]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, volume_with_data: Volume) -> Volume:
    """Return a volume with the run `undisturbed`."""
    volume = with_data(tmp_path_factory.mktemp("trainings"), volume_with_data)
    group = start(volume, "undisturbed")
    assert group.end(SECONDS_TO_END) == 0, group.lines
    assert not group.count("restarting"), group.lines
    return volume


def wait_for(moment: Moment, group: DisturbedGroup, run: Path, choice: random.Random) -> None:
    group.wait_for(moment.line, SECONDS_TO_END)
    while moment.file and group.running and not list(run.glob(moment.file)):
        time.sleep(0.002)
    time.sleep(choice.uniform(0, moment.seconds))


def disturb(
    times: int,
    volume: Volume,
    record: Record,
    fault: Callable[[DisturbedGroup, random.Random], None],
    possible: Sequence[str] = sorted(MOMENTS),
    restarts_each: bool = True,
) -> None:
    """Train `times` times with one fault each, record the figures, and compare the weights.

    With `restarts_each`, a fault that restarted nobody and came before the workers' end had no effect.
    """
    seed, choice, names = moments(times, possible)
    undisturbed, restarts, late, wrong = result(volume, "undisturbed"), 0, 0, []
    for number, name in enumerate(names):
        run = f"{fault.__name__}-{number}"
        group = start(volume, run)
        wait_for(MOMENTS[name], group, volume.run(run), choice)
        late += not (group.running and group.workers())
        with contextlib.suppress(psutil.NoSuchProcess, IndexError, ProcessLookupError):
            fault(group, choice)
        status = group.end(SECONDS_TO_END)
        restarts += group.count("; restarting all")
        try:
            assert status == 0, f"status {status}"
            assert result(volume, run) == undisturbed, "other weights"
        except (AssertionError, outcome.StepError) as error:
            wrong.append("\n".join([f"{run}, {name}: {error}", *group.lines[-20:]]))
    record("times", times)
    record("lost", len(wrong))
    record("restarts_of_all_workers", restarts)
    record("after_the_workers_had_ended", late)
    record("seed", seed)
    assert not wrong, "\n".join(wrong)
    assert restarts + late >= times or not restarts_each, "a fault had no effect"
    assert late < times, "every fault came too late"


def one(group: DisturbedGroup, choice: random.Random) -> psutil.Process:
    return choice.choice(group.workers())


def killed(group: DisturbedGroup, choice: random.Random) -> None:
    one(group, choice).kill()


def stopped(group: DisturbedGroup, choice: random.Random) -> None:
    """Stop a worker for up to six seconds."""
    worker = one(group, choice)
    worker.suspend()
    time.sleep(choice.uniform(1, 6))
    worker.resume()


def frozen(group: DisturbedGroup, choice: random.Random) -> None:
    """Stop a worker that nobody resumes."""
    one(group, choice).suspend()


def cut(group: DisturbedGroup, choice: random.Random) -> None:
    """Reset the connections three times: between two exchanges, TensorFlow connects again without a restart."""
    for _ in range(3):
        group.process.send_signal(signal.SIGUSR1)
        time.sleep(choice.uniform(0, 0.2))


def silenced(group: DisturbedGroup, choice: random.Random) -> None:
    group.process.send_signal(signal.SIGUSR2)


@attack(Promise.WORKERS, "SIGKILL for one of two workers, at any part of a training", hour=6, night=40)
def test_a_killed_worker_changes_no_weight(times: int, trainings: Volume, record_property: Record) -> None:
    disturb(times, trainings, record_property, killed)


@attack(Promise.WORKERS, "SIGSTOP for one of two workers, SIGCONT seconds later", hour=3, night=40)
def test_a_worker_stopped_for_seconds_changes_no_weight(times: int, trainings: Volume, record_property: Record) -> None:
    disturb(times, trainings, record_property, stopped, restarts_each=False)


@attack(Promise.WORKERS, "SIGSTOP for one of two workers, for ever", hour=1, night=20)
def test_a_worker_stopped_for_ever_changes_no_weight(times: int, trainings: Volume, record_property: Record) -> None:
    disturb(times, trainings, record_property, frozen)


@attack(
    Promise.WORKERS,
    "every connection between the workers is reset, three times within half a second",
    hour=3,
    night=40,
)
def test_a_cut_connection_changes_no_weight(times: int, trainings: Volume, record_property: Record) -> None:
    disturb(times, trainings, record_property, cut, CONNECTED, restarts_each=False)


@attack(Promise.WORKERS, "the connections between the workers stay open, and nothing arrives", hour=1, night=20)
def test_a_silent_connection_changes_no_weight(times: int, trainings: Volume, record_property: Record) -> None:
    disturb(times, trainings, record_property, silenced, CONNECTED)
