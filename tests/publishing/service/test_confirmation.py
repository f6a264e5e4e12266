"""The end of a release, against replicas that answer over HTTP on loopback."""

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from urllib3.exceptions import HTTPError

import pipeline_admin
from distml.model import manifest
from distml.publishing.service import confirmation, replicas, smoke_test
from distml.publishing.versions import decisions, signature
from distml.publishing.versions.history import History
from distml.step import outcome
from distml.step.volume import Volume
from support.predictor_process import predictor
from support.replicas import Api, Replica, one_slice
from support.signing_keys import make

Start = Callable[..., Replica]
Releases = Callable[..., dict]
REMEDY = "; to serve it all the same, run pipeline_admin.py release --version 2"
OTHER_VERSION = {"releases": [{"version": "1", "digest": "d", "stage": "released", "reason": ""}]}


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "SECONDS_BETWEEN_ROUNDS", 0.01)


@pytest.fixture
def releases(two_versions: Volume) -> Releases:
    """Return a function that makes a replica's status from a stage of version 2."""
    own = manifest.read(two_versions.version(2))["digest"]
    return lambda stage, reason="", digest=own: {
        "releases": [
            {"version": "2", "digest": digest, "stage": stage, "reason": reason},
            {"version": "2", "digest": own, "stage": "shadow", "reason": "an older entry"},
        ]
    }


def confirm(volume: Volume, version: int = 2, seconds: float = 20) -> None:
    confirmation.confirm_release(volume, version, "flowers", "here", seconds)


def refusal(volume: Volume, version: int = 2, seconds: float = 20) -> tuple[int, str]:
    """Return the exit status and the message of a confirmation that fails, without the time of a decision."""
    with pytest.raises(outcome.StepError) as error:
        confirm(volume, version, seconds)
    return error.value.exit_status, str(error.value).replace(History(volume.versions).records()[-1].time, "TIME")


def last_record(volume: Volume) -> tuple[str, int, str]:
    record = History(volume.versions).records()[-1]
    return str(record.event), record.version, record.reason


def test_a_version_is_released_once_every_replica_has_taken_it_over(
    api: Api, start: Start, releases: Releases, two_versions: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = start(OTHER_VERSION, releases("checking"), releases("probation", "9 batches"), releases("released"))
    fast = start(releases("released"))
    api.lists = [[one_slice(slow), one_slice(fast)]]
    command = ["confirm-release", f"--volume={two_versions}", "--version=2", "--service=flowers"]
    pipeline_admin.main(pipeline_admin.parse_args(command))
    assert (len(slow.statuses), slow.predictions) == (1, 1)
    assert last_record(two_versions) == ("released", 2, "every replica of flowers has taken it over")
    assert capsys.readouterr().out == "version 2 is released: every replica of flowers has taken it over\n"


def test_a_replica_that_appears_meanwhile_is_asked_too(
    api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    first, second = start(releases("shadow"), releases("released")), start(releases("shadow"), releases("released"))
    api.lists = [[one_slice(first, ready=False)], [one_slice(first)], [one_slice(first), one_slice(second)]]
    confirm(two_versions)
    assert second.predictions == 1


def test_one_rejection_rejects_the_version_with_the_replicas_reason(
    api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    good, bad = start(releases("released")), start(releases("rejected", "it never recognises a Trouser", digest=""))
    api.lists = [[one_slice(good), one_slice(bad)]]
    reason = f"replica {bad.address}: it never recognises a Trouser"
    assert refusal(two_versions) == (3, f"version 2 was rejected at TIME: {reason}{REMEDY}")
    assert last_record(two_versions) == ("rejected", 2, reason)
    assert History(two_versions.versions).state().released == 1


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (("shadow",), "its stage is shadow"),
        (("ended", "its folder was removed"), "its stage is ended (its folder was removed)"),
        (("released", "", "0123456789abcdef"), "its version 2 is another one, with digest 0123456789ab"),
        (("rejected", "broken", "0123456789abcdef"), "its version 2 is another one, with digest 0123456789ab"),
        (("perfect",), "no valid answer: 'perfect' is not a valid Stage"),
    ],
)
def test_a_version_that_is_not_taken_over_in_time_is_rejected(
    stage: tuple[str, ...], text: str, api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    late = start(releases(*stage))
    api.lists = [[one_slice(late)]]
    reason = f"not taken over within 0.05 s; replica {late.address}: {text}"
    assert refusal(two_versions, seconds=0.05) == (3, f"version 2 was rejected at TIME: {reason}{REMEDY}")
    assert last_record(two_versions) == ("rejected", 2, reason)


INVALID_STATUSES = {
    b"": "'' is not a JSON object",
    b"<html>": "'<html>' is not a JSON object",
    b"[]": "'[]' is not a JSON object",
    b"null": "'null' is not a JSON object",
    b"[" * 100_000: f"'{80 * '['}' is not a JSON object",
    b'{"releases": 2}': "an unknown form (TypeError(\"'int' object is not iterable\"))",
    b'{"releases": [[]]}': "an unknown form (TypeError('list indices must be integers or slices, not str'))",
    b'{"releases": [{}]}': "an unknown form (KeyError('version'))",
    b'{"releases": [{"version": "2", "stage": []}]}': "[] is not a valid Stage",
    b'{"model_version_status": []}': "an unknown form (StopIteration())",
}
INVALID_PREDICTIONS = {
    b"[1]": "'[1]' is not a JSON object",
    b'{"predictions": 1}': "an unknown form (TypeError('cannot unpack non-iterable int object'))",
    b'{"predictions": [[NaN, 0, 0, 0, 0, 0, 0, 0, 0, 0]]}': "[nan, 0, 0, 0, 0, 0, 0, 0, 0, 0] are not 10 probabilities",
    b'{"predictions": [[0.5, 1%s, 0, 0, 0, 0, 0, 0, 0, 0]]}' % (400 * b"0"): (
        "an unknown form (OverflowError('int too large to convert to float'))"
    ),
}


@pytest.mark.parametrize(("answer", "text"), INVALID_STATUSES.items(), ids=range(len(INVALID_STATUSES)))
def test_a_status_of_a_wrong_form_is_no_valid_answer(answer: bytes, text: str, start: Start) -> None:
    found = confirmation.ask(f"http://{start(answer).address}", "flowers", 2, "digest")
    assert found == (None, f"no valid answer: {text}")


@pytest.mark.parametrize(("answer", "text"), INVALID_PREDICTIONS.items(), ids=range(len(INVALID_PREDICTIONS)))
def test_a_prediction_of_a_wrong_form_is_no_valid_answer(
    answer: bytes, text: str, start: Start, releases: Releases
) -> None:
    url = f"http://{start(releases('released', digest='digest'), prediction=answer).address}"
    found = confirmation.ask(url, "flowers", 2, "digest")
    assert found == (None, f"no valid answer: {url} does not answer with a valid prediction: {text}")


def test_a_failure_without_a_message_is_named_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_test, "fetch", Mock(side_effect=TimeoutError))
    assert confirmation.ask("http://here", "flowers", 2, "digest") == (None, "no valid answer: TimeoutError")


def test_a_redirect_is_no_valid_answer(start: Start) -> None:
    url = f"http://{start('/elsewhere').address}"
    assert confirmation.ask(url, "flowers", 2, "") == (None, f"no valid answer: a redirect to {url}/elsewhere")


def test_a_prediction_by_another_version_is_no_take_over(
    api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    api.lists = [[one_slice(start(releases("released"), version="1"))]]
    assert "version 1 answered, not 2; to serve it" in refusal(two_versions, seconds=0.05)[1]


def test_a_service_without_a_ready_replica_rejects_in_time(api: Api, two_versions: Volume) -> None:
    api.lists = [HTTPError("refused"), [{"endpoints": None, "ports": None}]]
    reason = "not taken over within 0.05 s; no replica is ready; run kubectl describe inferenceservice flowers"
    assert refusal(two_versions, seconds=0.05) == (3, f"version 2 was rejected at TIME: {reason}{REMEDY}")


def test_a_newer_version_that_ended_the_trial_rejects_nothing(
    api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    shutil.copytree(two_versions.version(2), two_versions.version(3))
    replica = start(releases("ended", "version 3 is newer"))
    api.lists = [[one_slice(replica)]]
    reason = f"not taken over within 0.05 s; replica {replica.address}: its stage is ended (version 3 is newer)"
    assert refusal(two_versions, seconds=0.05) == (
        1,
        f"version 2 is not released: version 3 is newer; {reason}",
    )
    assert last_record(two_versions) == ("published", 3, "found on the volume")


def test_a_service_that_does_not_exist_rejects_nothing(
    api: Api, two_versions: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas.socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "no")))
    assert refusal(two_versions, seconds=0.05) == (
        2,
        "version 2 is neither released nor rejected: the cluster has no Service flowers-predictor; check --service and"
        " --namespace, or that KServe's controller runs",
    )
    assert last_record(two_versions) == ("published", 2, "found on the volume")


@pytest.mark.parametrize(
    "decide",
    [lambda volume: decisions.withdraw(volume, 2, "coats"), lambda volume: decisions.roll_back(volume, 1, "coats")],
    ids=["withdraw", "roll-back"],
)
def test_an_administrators_withdrawal_meanwhile_is_reported_as_such(
    decide: Callable[[Volume], None],
    api: Api,
    start: Start,
    releases: Releases,
    two_versions: Volume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.lists = [[one_slice(start(releases("ended", "withdrawn: coats")))]]
    # In this module alone: a thread that another test left may sleep too.
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: decide(two_versions))
    monkeypatch.setattr(confirmation, "time", clock)
    assert refusal(two_versions) == (3, f"version 2 was withdrawn by an administrator at TIME: coats{REMEDY}")
    assert "rejected" not in [record.event for record in History(two_versions.versions).records()]


def test_an_administrators_release_meanwhile_is_kept(
    api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    decisions.release(two_versions, 2, "")
    bad = start(releases("rejected", "slow"))
    api.lists = [[one_slice(bad)]]
    reason = f"an administrator released version 2 meanwhile, but replica {bad.address}: slow"
    assert refusal(two_versions) == (1, reason)
    assert last_record(two_versions) == ("released", 2, "")


def test_a_version_below_the_released_one_is_refused(api: Api, two_versions: Volume) -> None:
    decisions.release(two_versions, 2, "")
    assert refusal(two_versions, version=1) == (3, "version 1 is not released: the newer version 2 is")


def test_the_only_version_stays_when_it_is_not_taken_over(
    api: Api, start: Start, releases: Releases, two_versions: Volume
) -> None:
    decisions.withdraw(two_versions, 1, "")
    late = start(releases("shadow"))
    api.lists = [[one_slice(late)]]
    status, message = refusal(two_versions, seconds=0.05)
    reason = f"not taken over within 0.05 s; replica {late.address}: its stage is shadow"
    assert (status, message) == (1, f"version 2 is not released: {reason}; it stays, because no other could answer")
    assert last_record(two_versions) == ("withdrawn", 1, "")


def test_a_version_that_is_missing_or_damaged_is_refused(api: Api, two_versions: Volume) -> None:
    (two_versions.version(2) / "saved_model.pb").write_text("damaged")
    for version in (2, 3):
        expected = f"there is no intact version {version}; choose from 1"
        assert refusal(two_versions, version) == (2, expected)


def test_tensorflow_servings_replicas_are_asked_for_their_version(api: Api, start: Start, two_versions: Volume) -> None:
    states = [[{"version": version, "state": "AVAILABLE"}] for version in ("1", "1", "2")]
    serving = start(*({"model_version_status": state} for state in states))
    api.lists = [[one_slice(serving)]]
    confirm(two_versions)
    assert last_record(two_versions)[:2] == ("released", 2)


def test_a_service_without_slices_must_answer_five_times_in_a_row(
    api: Api, start: Start, releases: Releases, two_versions: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = releases("released")
    behind = start(released, releases("shadow"), released)
    monkeypatch.setattr(replicas, "URL", f"http://{behind.address}")
    confirm(two_versions)
    assert behind.predictions == 6


def test_a_real_predictor_that_started_with_the_version_confirms_it(
    api: Api, published_volume: Volume, tmp_path: Path
) -> None:
    versions = tmp_path / "volume"
    versions.mkdir()
    volume = Volume(versions)
    volume.versions.mkdir()
    (volume.version(1)).symlink_to(published_volume.version(1))
    with predictor(volume, tmp_path / "log", "--release=guarded", "--model-name=flowers") as running:
        api.lists = [[{"endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": running.http_port}]}]]
        confirm(volume, version=1)
    assert last_record(volume) == ("released", 1, "every replica of flowers has taken it over")


@pytest.mark.parametrize("spoil", ["", "unsigned", "other key", "renumbered", "damaged"])
def test_only_a_version_that_verifies_is_confirmed(
    api: Api, start: Start, two_versions: Volume, tmp_path: Path, spoil: str
) -> None:
    keys, folder = make(tmp_path, "key"), two_versions.version(2)
    decisions.complete(two_versions)
    number = 1 if spoil == "renumbered" else 2
    digest = manifest.write(folder, {"model": "plain", "version": number})["digest"]
    if spoil != "unsigned":
        signature.sign(folder, make(tmp_path, "other").private if spoil == "other key" else keys.private)
    if spoil == "damaged":
        (folder / "saved_model.pb").write_text("damaged")
    released = [{"version": "2", "digest": digest, "stage": "released", "reason": ""}]
    replica = start({"releases": released}, {"releases": released})
    api.lists = [[one_slice(replica)]]
    before = History(two_versions.versions).records()
    options = [f"--volume={two_versions}", "--version=2", "--service=flowers", f"--public-key={keys.public}"]
    arguments = pipeline_admin.parse_args(["confirm-release", *options])
    if not spoil:
        pipeline_admin.main(arguments)
        assert last_record(two_versions)[:2] == ("released", 2)
        return
    with pytest.raises(outcome.StepError, match=f"{folder}") as refused:
        pipeline_admin.main(arguments)
    assert refused.value.exit_status == 2
    assert (History(two_versions.versions).records(), len(replica.statuses)) == (before, 2)
