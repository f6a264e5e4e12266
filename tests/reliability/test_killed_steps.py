"""Steps that are killed before one of their changes of the volume, and steps on a volume that refuses its changes."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Queue
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

from distml.step import outcome
from distml.step.volume import Volume
from reliability import faulty_volume, pipeline_steps, promises, volume_states
from reliability.faulty_volume import FULL, KILL, READ_ONLY, Change
from reliability.pipeline_steps import Step
from reliability.promises import Promise, attack
from support import programs
from support.forked_steps import ForkedSteps, forked_steps

STREAMS = 2
NAMES = ["ingestion", "training", "selection", "release", "withdrawal", "roll-back", "removal of runs"]


class Undisturbed(NamedTuple):
    """A step that nothing disturbed: its changes of the volume, the state afterwards, and the versions it removed."""

    changes: list[Change]
    state: dict
    removed: set[int]


class Bench:
    """All steps, and processes that run them, `STREAMS` at a time: first each step once, undisturbed."""

    def __init__(self, folder: Path, all_steps: list[Step], runners: list[ForkedSteps], threads: Executor):
        self.folder, self.steps = folder, {step.name: step for step in all_steps}
        self._runners: Queue[ForkedSteps] = Queue()
        for runner in runners:
            self._runners.put(runner)
        self._threads = threads
        self._undisturbed = {step.name: threads.submit(self._run, step) for step in all_steps}

    def undisturbed(self, step: Step) -> Undisturbed:
        return self._undisturbed[step.name].result()

    def _run(self, step: Step) -> Undisturbed:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, self._runner() as runner:
            volume = step.copy(Path(folder) / "volume")
            before = volume_states.versions(volume)
            with faulty_volume.mounted(volume.root) as mount:
                ended = step.run(runner, mount.path)
                changes = mount.changes()
            assert ended.returncode == 0, ended.stderr
            removed = before.keys() - volume_states.versions(volume).keys()
            return Undisturbed(changes, volume_states.state(volume, step.public_key), removed)

    def disturb(self, step: Step, places: list[int], fault: str) -> tuple[list[str], int]:
        """Disturb a step once at each place.

        Returns:
            A sentence for each time in which the promise was broken, and how often a change met the fault.
        """

        def once(place: int) -> tuple[str, bool]:
            with self._runner() as runner:
                folder = self.folder / f"{step.name}-{fault}-{place}"
                return _disturbed(step, folder, runner, place, fault, self.undisturbed(step))

        found = [*self._threads.map(once, places)]
        return [sentence for sentence, _ in found if sentence], sum(met for _, met in found)

    @contextmanager
    def _runner(self) -> Iterator[ForkedSteps]:
        runner = self._runners.get()
        try:
            yield runner
        finally:
            self._runners.put(runner)


def _disturbed(
    step: Step, folder: Path, runner: ForkedSteps, place: int, fault: str, undisturbed: Undisturbed
) -> tuple[str, bool]:
    """Disturb a step at a place, look at the volume, run the step again.

    Returns:
        How the promise was broken, or "", and whether a change met the fault.
    """
    volume = step.copy(folder)
    before = volume_states.versions(volume)
    with faulty_volume.mounted(volume.root, place, fault) as mount:
        ended = step.run(runner, mount.path)
        change, refused = mount.changes()[-1], mount.refused()
    try:
        found = volume_states.state(volume, step.public_key)  # raises if something half-written is visible
        if fault == KILL:
            assert ended.returncode == -9, f"not killed, but ended with {ended.returncode}"
        else:
            _check_refusal(ended, fault if refused else "", found, undisturbed.state)
        lost = dict(before.items() - volume_states.versions(volume).items())
        assert lost.keys() <= undisturbed.removed, f"lost or changed versions {lost}"
        again = step.run(runner, volume.root)
        _check_same(volume_states.state(volume, step.public_key), undisturbed.state)
        # What is decided already is refused.
        possible = {0, 2, 3} if step.name in ("withdrawal", "roll-back") else {0}
        assert again.returncode in possible and "Traceback" not in again.stderr, f"run again, it ended so: {again}"
    except (AssertionError, outcome.StepError, OSError, ValueError) as error:
        return f"{step.name}, {fault} at change {place}, {' '.join(change)}: {error}", True
    shutil.rmtree(folder)
    return "", fault == KILL or refused


def _check_refusal(ended: CompletedProcess[str], fault: str, found: dict, after: dict) -> None:
    """Check that a step has named the refusal in its last line, or done its work without what was refused."""
    if ended.returncode == 0:
        # The table for people is written again by the next decision.
        parts = [{**state, "versions": (state["versions"] or ())[: volume_states.TABLE]} for state in (found, after)]
        _check_same(*parts)
        return
    assert fault, f"nothing was refused, and it ended with {ended.returncode}: {ended.stderr}"
    reason = {FULL: "No space left on device", READ_ONLY: "Read-only file system"}[fault]
    assert ended.returncode in (1, 2), f"it ended with {ended.returncode}: {ended.stderr}"
    assert "Traceback" not in ended.stderr and reason in ended.stderr.splitlines()[-1], ended.stderr


def _check_same(found: dict, after: dict) -> None:
    different = [name for name in after if found[name] != after[name]]
    assert not different, f"different: {', '.join(different)}: {found[different[0]]} {after[different[0]]}"


def chosen(changes: list[Change], times: int) -> list[int]:
    """Return the numbers of the changes to attack: the first of places spread evenly.

    For `promises.ALL`, the first of each place and, where there are more, one in the middle of them.
    """
    of_places: dict[Change, list[int]] = {}
    for number, change in enumerate(changes):
        of_places.setdefault(change.place, []).append(number)
    if times == promises.ALL:
        return sorted({number for found in of_places.values() for number in (found[0], found[len(found) // 2])})
    places = sorted(found[0] for found in of_places.values())
    times = min(times, len(places))
    return [places[len(places) * (2 * turn + 1) // (2 * times)] for turn in range(times)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, source_folder: Path, volume_with_data: Volume) -> Iterator[Bench]:
    programs.program_or_skip("fusermount3", "fuse3")
    if reason := faulty_volume.reason_to_skip():
        programs.skip_or_fail(f"no folder can be mounted: {reason}")
    folder = tmp_path_factory.mktemp("killed")
    with ExitStack() as stack:
        runners = [stack.enter_context(forked_steps()) for _ in range(STREAMS)]
        (folder / "templates").mkdir()
        made = pipeline_steps.prepare(folder / "templates", source_folder, volume_with_data.dataset, runners[0])
        assert [step.name for step in made] == NAMES
        threads = ThreadPoolExecutor(STREAMS)
        stack.callback(threads.shutdown, cancel_futures=True)
        yield Bench(folder, made, runners, threads)


Record = Callable[[str, object], None]


def attack_step(bench: Bench, name: str, fault: str, times: int, record_property: Record) -> None:
    step = bench.steps[name]
    changes = bench.undisturbed(step).changes
    places = chosen(changes, times)
    broken, met = bench.disturb(step, places, fault)
    record_property("times", len(places))
    record_property("lost", len(broken))
    if fault != KILL:
        record_property("times_that_a_change_was_refused", met)
    record_property("changes_of_a_run", len(changes))
    record_property("places", len({change.place for change in changes}))
    assert not broken, "\n".join(broken)
    # A removal needs no space, so no change of it is refused.
    assert met or (name, fault) == ("removal of runs", FULL)


@attack(Promise.KILLED, "a step killed before a change of the volume", quick=1, hour=12, night=promises.ALL)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_killed_at_any_change_ends_as_if_it_had_not_been(
    bench: Bench, name: str, times: int, record_property: Record
) -> None:
    attack_step(bench, name, KILL, times, record_property)


@attack(Promise.REFUSED, "a disk that is full from a change on", hour=3, night=promises.ALL)
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_becomes_full_costs_one_line_and_nothing_stored(
    bench: Bench, name: str, times: int, record_property: Record
) -> None:
    attack_step(bench, name, FULL, times, record_property)


@attack(Promise.REFUSED, "a volume that is read-only from a change on", hour=3, night=promises.ALL)
@pytest.mark.parametrize("name", NAMES)
def test_a_volume_that_becomes_read_only_costs_one_line(
    bench: Bench, name: str, times: int, record_property: Record
) -> None:
    attack_step(bench, name, READ_ONLY, times, record_property)
