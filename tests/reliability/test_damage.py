"""Attacks on the files of a real volume: each is damaged, and the step that reads it runs."""

from distml.step.load_tensorflow import tf

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distml.data import fashion_mnist
from distml.model import manifest
from distml.publishing.selection import candidates
from distml.publishing.versions import folders, history, history_table, publication
from distml.publishing.versions.history import History
from distml.step import outcome
from distml.step.volume import Volume, candidate_name
from distml.training.checkpoints import Checkpoints
from distml.training.replicated_model import ReplicatedModel
from distml.training.settings import Settings
from reliability.promises import ALL, Promise, attack
from support import damage, signing_keys
from support.crashes import candidate
from support.damage import FOLDER_NAMED, HARMLESS, LEFT, NAMED, REDONE, Lost, Tally, damages, files_below
from support.forked_steps import ForkedSteps, forked_steps
from support.predictor_process import PREDICT, Predictor, predictor
from support.project import ROOT
from support.signing_keys import Keys
from support.version_folders import publishing, remove

SEED = 1
RUN, MODEL, MODELS = "first", "plain", ("plain", "batchnorm")
TRAINING = ("--model", "plain,batchnorm", "--epochs", 3, "--train-images", 640)
TRAIN, SELECT, ADMIN = "multi_worker_distributed_training.py", "model_selection.py", "pipeline_admin.py"
IMAGE = ROOT / "inference-input.png"
REQUEST = (ROOT / "inference-input.json").read_bytes()
Record = Callable[[str, object], None]


@pytest.fixture(scope="session")
def steps() -> Iterator[ForkedSteps]:
    with forked_steps() as running:
        yield running


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return signing_keys.make(tmp_path_factory.mktemp("keys"), "owner")


def train(steps: ForkedSteps, volume: Volume, *options: object, **environment: str) -> damage.CompletedProcess[str]:
    return steps.run(TRAIN, "--volume", volume, "--run", RUN, *TRAINING, *options, **environment)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, volume_with_data: Volume, steps: ForkedSteps, keys: Keys) -> Volume:
    """Return what a pipeline leaves: two candidates, two versions, the second signed, and a history. Shared."""
    volume = Volume(tmp_path_factory.mktemp("whole"))
    volume.dataset.parent.symlink_to(volume_with_data.dataset.parent)
    admin = [("release", "--version", 2), ("roll-back",), ("release", "--version", 2)]
    select = (SELECT, "--run", RUN, "--accuracy-floor", 0, "--signing-key", keys.private)
    commands: list[tuple] = [
        (TRAIN, "--run", RUN, *TRAINING),
        (*select, "--models", "batchnorm"),
        (ADMIN, "release", "--version", 1),
        select,
        *((ADMIN, *task, "--reason", "it is tried") for task in admin),
    ]
    for script, *options in commands:
        ended = steps.run(script, *options, "--volume", volume)
        assert ended.returncode == 0, ended.stderr
    other = train(steps, volume, "--epochs", 9, FAILURE_RECORD=str(volume.failure(RUN, MODEL, 1)))
    assert other.returncode == 2 and volume.failure(RUN, MODEL, 1).exists()
    return volume


@pytest.fixture
def copied(whole: Volume, tmp_path: Path) -> Callable[[], Volume]:
    """Return a function that copies the volume, in place of the copy before; the data set stays a link."""

    def copy() -> Volume:
        folder = tmp_path / "copy"
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(whole.root, folder, symlinks=True)
        return Volume(folder)

    return copy


def check_weights(volume: Volume, whole: Volume, name: str) -> None:
    """Raise Lost unless a candidate verifies and has the weights that it had on the whole volume."""
    of_both = [manifest.verified(one.candidates(RUN) / name)["files"] for one in (volume, whole)]
    weights = [[sha256 for file, sha256 in files.items() if ".data-" in file] for files in of_both]
    if weights[0] != weights[1]:
        raise Lost("the weights are others")


@attack(Promise.DAMAGED, "files of the data set, then the steps that read it in turn", quick=4, hour=ALL, night=ALL)
def test_a_damaged_data_set_is_named(
    times: int,
    record_property: Record,
    steps: ForkedSteps,
    volume_with_data: Volume,
    source_folder: Path,
    copied: Callable[[], Volume],
) -> None:
    volume, tally = copied(), Tally()
    volume.dataset.parent.unlink()
    shutil.copytree(volume_with_data.dataset.parent, volume.dataset.parent)
    readers: list[tuple] = [
        ("data_ingestion.py",),
        (TRAIN, "--run", RUN, *TRAINING),
        (SELECT, "--run", RUN),
        ("predict_service.py", "--output", volume.root.parent / "picture.png"),
    ]
    before = damage.snapshot(volume.root)
    for number, (file, kind, seed) in enumerate(damages(files_below(volume.dataset), times, SEED)):
        script, *options = readers[number % len(readers)]
        with tally.counting(file, kind, seed):
            with damage.damaged(file, kind, seed):
                ended = steps.run(script, *options, "--volume", volume)
            if not damage.is_named(ended, file):
                raise Lost(f"{script} used it")
            if f"remove {volume.dataset}" not in ended.stderr:
                raise Lost(f"the remedy is wrong: {ended.stderr}")
            damage.check_untouched(before, volume.root)
            tally.end(NAMED)
    if times == ALL:  # the remedy works, and what is intact is used again
        shutil.rmtree(volume.dataset)
        for script, *options in [("data_ingestion.py", "--source", source_folder), *readers[:2]]:
            ended = steps.run(script, *options, "--volume", volume)
            assert ended.returncode == 0, ended.stderr
        assert "batchnorm-seed1: already trained" in ended.stdout
    assert fashion_mnist.verified_manifest(volume)
    tally.record(record_property)


@attack(Promise.DAMAGED, "files of candidates, then the look for unfinished ones", quick=60, hour=ALL, night=ALL)
def test_a_damaged_candidate_does_not_count_as_finished(
    times: int, record_property: Record, copied: Callable[[], Volume]
) -> None:
    volume, tally = copied(), Tally()
    for file, kind, seed in damages(files_below(volume.candidates(RUN)), times, SEED, flips=20):
        name, before = file.relative_to(volume.candidates(RUN)).parts[0], file.read_bytes()
        with tally.counting(file, kind, seed), damage.damaged(file, kind, seed):
            missing = candidates.unfinished(volume, RUN, MODELS, [1], announce=False)
            same = (
                not missing and file.name == manifest.MANIFEST and json.loads(file.read_bytes()) == json.loads(before)
            )
            if not same and [candidate_name(*one) for one in missing] != [name]:
                raise Lost(f"{missing} are to be trained")
            tally.end(HARMLESS if same else REDONE)  # the same: a digit beyond the precision of a number of seconds
    tally.record(record_property)


@attack(Promise.DAMAGED, "files of candidates, then training", quick=1, hour=6, night=ALL)
def test_a_damaged_candidate_is_trained_again(
    times: int, record_property: Record, steps: ForkedSteps, whole: Volume, copied: Callable[[], Volume]
) -> None:
    """The weights are those of the damaged candidate, from the checkpoint; nothing else is touched."""
    tally = Tally()
    for file, kind, seed in damages(files_below(whole.candidates(RUN)), times, SEED):
        with tally.counting(file, kind, seed):
            volume = copied()
            path = volume.root / file.relative_to(whole.root)
            name = path.relative_to(volume.candidates(RUN)).parts[0]
            before = damage.snapshot(volume.root)
            damage.damage(path, kind, seed)
            ended = train(steps, volume)
            named = f"; training {name} again" in ended.stdout and str(volume.candidates(RUN) / name) in ended.stdout
            if ended.returncode or not named:
                raise Lost(f"status {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-500:]}")
            check_weights(volume, whole, name)
            damage.check_untouched(before, volume.root, f"runs/{RUN}/candidates/{name}/", f"runs/{RUN}/failures/{name}")
            tally.end(REDONE)
    tally.record(record_property)


@attack(Promise.DAMAGED, "files of the best candidate, then selection", hour=4, night=30)
def test_a_damaged_candidate_is_left_out_by_selection(
    times: int, record_property: Record, steps: ForkedSteps, whole: Volume, copied: Callable[[], Volume]
) -> None:
    """The other candidate is published, under a number of its own, and both versions stay."""
    tally = Tally()
    for file, kind, seed in damages(files_below(whole.candidate(RUN, MODEL, 1)), times, SEED + 1):
        with tally.counting(file, kind, seed):
            volume = copied()
            path = volume.root / file.relative_to(whole.root)
            before = damage.snapshot(volume.root)
            damage.damage(path, kind, seed)
            ended = steps.run(SELECT, "--run", RUN, "--accuracy-floor", 0, "--tolerance", 1, "--volume", volume)
            named = f"candidate left out: {volume.candidate(RUN, MODEL, 1)}" in ended.stdout
            if ended.returncode or not named or "published as version 3" not in ended.stdout:
                raise Lost(f"status {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-500:]}")
            if manifest.verified(volume.version(3))["model"] == MODEL:
                raise Lost("it was published")
            written = ("history.txt", "report/", f"runs/{RUN}/report/", "saved_model_versions/.h")
            damage.check_untouched(before, volume.root, *written, str(path.relative_to(volume.root)))
            tally.end(NAMED)
    tally.record(record_property)


@attack(Promise.DAMAGED, "files of checkpoints, then restoring", quick=40, hour=ALL, night=ALL)
def test_the_last_intact_checkpoint_is_restored(
    times: int, record_property: Record, copied: Callable[[], Volume]
) -> None:
    volume, tally = copied(), Tally()
    settings = Settings(**json.loads((volume.run(RUN) / "run.json").read_text())["settings"])
    for model in MODELS:
        trained = ReplicatedModel(tf.distribute.get_strategy(), model, 1, settings, steps_per_epoch=5)
        folders = volume.checkpoints(RUN, model, 1), volume.logs(RUN, model, 1)

        def restored(trained: ReplicatedModel = trained, folders: tuple[Path, Path] = folders) -> tuple[int, bytes]:
            trained.network.set_weights([0 * weight for weight in trained.network.get_weights()])
            epochs = Checkpoints(trained, True, *folders).restore(settings.epochs)
            return epochs, b"".join(weight.tobytes() for weight in trained.network.get_weights())

        intact = dict([restored()])
        with damage.damaged(folders[0] / "ckpt-3/checkpoint.index", "removed", 0):
            intact |= [restored()]
        assert intact.keys() == {2, 3}
        for file, kind, seed in damages(files_below(folders[0]), (times + 1) // 2, SEED, flips=20):
            with tally.counting(file, kind, seed), damage.damaged(file, kind, seed):
                epochs, weights = restored()
                if weights != intact[epochs]:
                    raise Lost("the weights are others")
                if epochs == 2 and file.parent.name != "ckpt-3":
                    raise Lost("the last checkpoint, which is intact, was not used")
                tally.end(REDONE if epochs == 2 else HARMLESS)
    tally.record(record_property)


@attack(Promise.DAMAGED, "files of checkpoints, then training", quick=1, hour=6, night=ALL)
def test_a_damaged_checkpoint_is_passed_over(
    times: int, record_property: Record, steps: ForkedSteps, whole: Volume, copied: Callable[[], Volume]
) -> None:
    """The training resumes from an intact checkpoint, and ends with the same weights."""
    tally = Tally()
    checkpoints = whole.checkpoints(RUN, MODEL, 1).parent
    for file, kind, seed in damages(files_below(checkpoints), times, SEED):
        with tally.counting(file, kind, seed):
            volume, name = copied(), file.relative_to(checkpoints).parts[0]
            shutil.rmtree(volume.candidates(RUN) / name)
            before = damage.snapshot(volume.root)
            damage.damage(volume.root / file.relative_to(whole.root), kind, seed)
            ended = train(steps, volume)
            if ended.returncode or f"{name}: resuming after epoch" not in ended.stdout:
                raise Lost(f"status {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-500:]}")
            check_weights(volume, whole, name)
            parts = [f"runs/{RUN}/{part}/{name}" for part in ("checkpoints", "logs", "failures")]
            damage.check_untouched(before, volume.root, *parts)
            used_last = "resuming after epoch 3/3" in ended.stdout
            if not used_last and file.parent.name != "ckpt-3":
                raise Lost("the last checkpoint, which is intact, was not used")
            tally.end(HARMLESS if used_last else REDONE)
    tally.record(record_property)


@attack(Promise.DAMAGED, "the record of a run, then training with its settings and with others", hour=8, night=60)
def test_a_damaged_run_record_is_named_or_written_again(
    times: int, record_property: Record, steps: ForkedSteps, whole: Volume, copied: Callable[[], Volume]
) -> None:
    tally = Tally()
    record = whole.run(RUN) / "run.json"
    for file, kind, seed in damages([record], times, SEED, flips=times):
        with tally.counting(file, kind, seed):
            volume = copied()
            path = volume.root / file.relative_to(whole.root)
            damage.damage(path, kind, seed)
            before = damage.snapshot(volume.root)
            for epochs in (9, 3):
                ended = train(steps, volume, "--epochs", epochs)
                named = damage.is_named(ended, path)
                if not named and epochs == 9:
                    raise Lost("candidates of other settings were used again")
                damage.check_untouched(before, volume.root, f"runs/{RUN}/run.json")
            if not named and json.loads(path.read_text()) != json.loads(record.read_text()):
                raise Lost("the record was accepted as it is")
            tally.end(NAMED if named else REDONE)
    tally.record(record_property)


@attack(Promise.DAMAGED, "files of signed versions that a predictor is offered", quick=2, hour=ALL, night=ALL)
@pytest.mark.parametrize("checked", [False, True], ids=["no key", "a public key"])
def test_a_damaged_version_is_refused_and_the_one_before_answers(
    times: int,
    record_property: Record,
    steps: ForkedSteps,
    keys: Keys,
    copied: Callable[[], Volume],
    tmp_path: Path,
    checked: bool,
) -> None:
    """A step that uses the newest version names the file too."""
    tally, volume, intact = Tally(), copied(), tmp_path / "2"
    volume.version(2).rename(intact)
    public = ("--public-key", keys.public) if checked else ()
    readers: list[tuple] = [
        (ADMIN, "release", "--version", 2),
        ("predict_service.py", "--output", tmp_path / "picture.png", IMAGE),
    ]
    with predictor(volume, tmp_path / "log", *public) as running:
        for number, (file, kind, seed) in enumerate(damages(files_below(intact), times, SEED)):
            script, *options = readers[number % 8 == 7]
            with tally.counting(file, kind, seed):
                refused = len(refusals(running))
                with publishing(volume.versions, 2) as work:
                    shutil.copytree(intact, work, dirs_exist_ok=True)
                    damage.damage(work / file.relative_to(intact), kind, seed)
                path = volume.version(2) / file.relative_to(intact)
                before = damage.snapshot(volume.root)
                if file.name == manifest.SIGNATURE and not checked:
                    running.wait(lambda: answering(running) == "2", "taken over")
                    tally.end(HARMLESS)  # without a key nobody reads the signature
                else:
                    running.wait(lambda seen=refused: len(refusals(running)) > seen, "refused")
                    if answering(running) != "1":
                        raise Lost("it answers")
                    if str(volume.version(2)) not in refusals(running)[-1]:
                        raise Lost(f"the log does not name it: {refusals(running)[-1]}")
                    ended = steps.run(script, *options, *public, "--volume", volume)
                    if not damage.is_named(ended, volume.version(2)):
                        raise Lost(f"{script} used it")
                    both = str(path) in refusals(running)[-1] and str(path) in ended.stderr
                    tally.end(NAMED if both else FOLDER_NAMED)  # a signature covers its version as a whole
                damage.check_untouched(before, volume.root)
            remove(volume.versions, 2)
            running.wait(lambda: answering(running) == "1", "answered by the version before")
        intact.rename(volume.version(2))
        running.wait(lambda: answering(running) == "2", "answered by the intact version")
    tally.record(record_property)


def refusals(running: Predictor) -> list[str]:
    return [event["reason"] for event in running.events() if event["event"] == "version refused"]


def answering(running: Predictor) -> str:
    """Return the version that answers a request."""
    return running.post(PREDICT, REQUEST)[1]["model_version"]


def state_of(volume: Volume) -> tuple:
    """Return what the history says that a predictor, the gate or a publication uses, after checking each version."""
    state = History(volume.versions).state()
    for number in folders.kept(volume.versions, state):
        manifest.verified(folders.find(volume, number))
    facts = {number: record.facts for number, record in state.published.items()}
    return state.released, set(state.withdrawn), facts, folders.kept(volume.versions, state)


@attack(
    Promise.DAMAGED, "files of the history, then the command history and a publication", quick=3, hour=30, night=300
)
def test_a_damaged_history_is_named_or_completed(
    times: int, record_property: Record, steps: ForkedSteps, whole: Volume, copied: Callable[[], Volume]
) -> None:
    tally, expected = Tally(), state_of(whole)
    highest = whole.versions / folders.HIGHEST
    files = [*files_below(whole.versions / history.FOLDER), highest, whole.history]
    for file, kind, seed in damages(files, times, SEED, flips=max(1, times // 16)):
        with tally.counting(file, kind, seed):
            volume = copied()
            path = volume.root / file.relative_to(whole.root)
            before = damage.snapshot(volume.root)
            damage.damage(path, kind, seed)
            ended = steps.run(ADMIN, "history", "--volume", volume)
            named = damage.is_named(ended, path) or (
                path.stem.isdecimal() and f"record {int(path.stem)} is missing or damaged" in ended.stdout
            )
            after = state_of(volume)
            if not named and after[:2] + after[3:] != expected[:2] + expected[3:]:
                raise Lost(f"it was used: {after} in place of {expected}")
            if not named and after[2] != expected[2] and "found on the volume" not in ended.stdout:
                raise Lost(f"it was used: {after[2]} in place of {expected[2]}")
            if after[3] != expected[3]:
                raise Lost(f"versions were lost: {after[3]}")
            damage.check_untouched(before, volume.root, "history.txt", str(volume.versions.relative_to(volume.root)))
            tally.end(NAMED if named else _publish(volume, path))
    tally.record(record_property)


def _publish(volume: Volume, path: Path) -> str:
    """Publish the next version, which gets a new number or names the record of the highest; return the damage's end."""
    try:
        number = publication.publish(volume, candidate(volume), {}, keep=5)
    except outcome.StepError as error:
        if str(path) not in str(error):
            raise Lost(str(error)) from None
        return NAMED
    if number < 3:
        raise Lost(f"the number {number} was given twice")
    reader = History(volume.versions)
    away = folders.numbers(volume.versions / folders.WITHDRAWN)
    if volume.history.read_text() != history_table.render(reader.records(), reader.state(), away):
        raise Lost("history.txt is out of date")
    return REDONE


@attack(Promise.DAMAGED, "reports, logs and failure records all at once, then the steps", quick=1, hour=6, night=24)
def test_damaged_files_for_people_are_written_again(
    times: int, record_property: Record, steps: ForkedSteps, whole: Volume, copied: Callable[[], Volume]
) -> None:
    """No step reads TensorBoard's logs, and a failure record only explains a failure."""
    tally = Tally()
    failure = whole.failure(RUN, MODEL, 1)
    folder = [whole.run_report(RUN), whole.report, whole.logs(RUN, MODEL, 1).parent, failure.parent]
    files = [file for one in folder for file in files_below(one)]
    for number in range(times):
        volume, kind = copied(), damage.KINDS[number % len(damage.KINDS)]
        for seed, file in enumerate(files, SEED + 100 * number):
            damage.damage(volume.root / file.relative_to(whole.root), kind, seed)
        before = damage.snapshot(volume.root)
        failed = train(steps, volume, "--epochs", 9, FAILURE_RECORD=str(volume.failure(RUN, MODEL, 1)))
        selected = steps.run(SELECT, "--run", RUN, "--accuracy-floor", 0, "--volume", volume)
        for seed, file in enumerate(files, SEED + 100 * number):
            with tally.counting(file, kind, seed):
                path = volume.root / file.relative_to(whole.root)
                if failed.returncode != 2 or selected.returncode:
                    raise Lost(f"{failed.stderr} {selected.stderr}")
                damage.check_untouched(
                    before, volume.root, "report/", "history.txt", f"runs/{RUN}/report/", f"runs/{RUN}/failures/"
                )
                if file.is_relative_to(whole.run_report(RUN).parent / "logs"):
                    tally.end(HARMLESS)
                elif path.is_dir():
                    tally.end(LEFT)
                elif text_of(path, volume) == text_of(file, whole):
                    tally.end(REDONE)
                else:
                    raise Lost("it was not written again")
    tally.record(record_property)


def text_of(path: Path, volume: Volume) -> str:
    """Return a file's text without the volume's path, and without charts, which have a date inside."""
    return re.sub("base64,[A-Za-z0-9+/=]+", "", path.read_text().replace(str(volume), ""))
