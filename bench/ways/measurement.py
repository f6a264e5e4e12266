"""The two measurements of a training: images/s, and the seconds to a validation accuracy."""

import json
import resource
import time
from collections.abc import Callable

STEPS_PER_EVALUATION = 100
MOST_STEPS = 3_000  # a training that has not reached its accuracy by then ends


def measure(goal: str, batch: int, take_steps: Callable[[int], object], accuracy: Callable[[], float]) -> None:
    """Train as `goal` asks and print the result; start-up, compiling and warming up must be over.

    Args:
        goal: a number of training steps, or an accuracy below 1 such as 0.90.
        batch: images per worker and step.
        take_steps: takes that number of steps and returns after the last one ended.
        accuracy: returns the validation accuracy, the same on all workers, after all of them have computed it.
    """
    if float(goal) >= 1:
        print_result(images_per_second=int(goal) * batch / seconds_of(take_steps, int(goal)))
        return
    seconds, steps, reached = 0.0, 0, 0.0
    while reached < float(goal) and steps < MOST_STEPS:
        seconds += seconds_of(take_steps, STEPS_PER_EVALUATION)
        steps += STEPS_PER_EVALUATION
        reached = accuracy()
    print_result(seconds_to_accuracy=seconds, steps=steps, accuracy=reached)


def seconds_of(take_steps: Callable[[int], object], steps: int) -> float:
    started = time.monotonic()
    take_steps(steps)
    return time.monotonic() - started


def print_result(**figures: float) -> None:
    """Print the figures and the worker's peak memory as one line of JSON."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**figures, "memory_gib": memory}), flush=True)
