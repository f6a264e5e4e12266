"""Steps that are killed before one of their changes of the volume, and steps on a volume that refuses its changes."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Queue
from subprocess import CompletedProcess

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


class Bench:
    """All steps, and processes that run them, `STREAMS` at a time: first each step once, undisturbed."""

    def __init__(self, folder: Path, all_steps: list[Step], runners: list[ForkedSteps], threads: Executor):
        self.folder, self.steps = folder, {step.name: step for step in all_steps}
        self._runners: Queue[ForkedSteps] = Queue()
        for runner in runners:
            self._runners.put(runner)
        self._threads = threads
        self._undisturbed = {step.name: threads.submit(self._run, step) for step in all_steps}

    def undisturbed(self, step: Step) -> tuple[list[Change], dict]:
        """Return an undisturbed step's changes of the volume, and the volume's state afterwards."""
        return self._undisturbed[step.name].result()

    def _run(self, step: Step) -> tuple[list[Change], dict]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, self._runner() as runner:
            volume = step.copy(Path(folder) / "volume")
            with faulty_volume.mounted(volume.root) as mount:
                ended = step.run(runner, mount.path)
                changes = mount.changes()
            assert ended.returncode == 0, ended.stderr
            return changes, volume_states.state(volume, step.public_key)

    def disturb(self, step: Step, places: list[int], fault: str, after: dict) -> list[str]:
        """Disturb a step once at each place; return a sentence for each time in which the promise was broken."""

        def once(place: int) -> str:
            with self._runner() as runner:
                return _disturbed(step, self.folder / f"{step.name}-{fault}-{place}", runner, place, fault, after)

        return [sentence for sentence in self._threads.map(once, places) if sentence]

    @contextmanager
    def _runner(self) -> Iterator[ForkedSteps]:
        runner = self._runners.get()
        try:
            yield runner
        finally:
            self._runners.put(runner)


def _disturbed(step: Step, folder: Path, runner: ForkedSteps, place: int, fault: str, after: dict) -> str:
    """Disturb a step at a place, look at the volume, run the step again; return how the promise was broken, or ""."""
    volume = step.copy(folder)
    before = volume_states.versions(volume)
    with faulty_volume.mounted(volume.root, place, fault) as mount:
        ended = step.run(runner, mount.path)
        change = mount.changes()[-1]
    try:
        if fault == KILL:
            assert ended.returncode == -9, f"not killed, but ended with {ended.returncode}"
        else:
            _check_refusal(ended, fault)
        volume_states.state(volume, step.public_key)  # raises if something half-written is visible
        lost = before.items() - volume_states.versions(volume).items()
        assert not lost or step.name == "selection", f"lost versions {lost}"
        again = step.run(runner, volume.root)
        found = volume_states.state(volume, step.public_key)
        different = [name for name in after if found[name] != after[name]]
        assert not different, f"then different: {', '.join(different)}: {found[different[0]]} {after[different[0]]}"
        assert again.returncode == 0 or step.name in ("withdrawal", "roll-back"), f"run again, it ended so: {again}"
    except (AssertionError, outcome.StepError, OSError, ValueError) as error:
        return f"{step.name}, {fault} at change {place}, {' '.join(change)}: {error}"
    shutil.rmtree(folder)
    return ""


def _check_refusal(ended: CompletedProcess[str], fault: str) -> None:
    reason = {FULL: "No space left on device", READ_ONLY: "Read-only file system"}[fault]
    if ended.returncode == 0:  # the next run makes what is missing
        return
    assert ended.returncode in (1, 2), f"it ended with {ended.returncode}: {ended.stderr}"
    assert "Traceback" not in ended.stderr and reason in ended.stderr.splitlines()[-1], ended.stderr


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
        pytest.skip(f"no folder can be mounted: {reason}")
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
    changes, after = bench.undisturbed(step)
    places = chosen(changes, times)
    broken = bench.disturb(step, places, fault, after)
    record_property("times", len(places))
    record_property("lost", len(broken))
    record_property("changes_of_a_run", len(changes))
    record_property("places", len({change.place for change in changes}))
    assert not broken, "\n".join(broken)


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
