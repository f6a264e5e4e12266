"""The decision whether a workflow trains: on drift, on new data, and if nothing is published."""

from dataclasses import dataclass

from distml.data import fashion_mnist
from distml.publishing.drift import service_drift
from distml.publishing.versions import folders
from distml.publishing.versions.history import History, State, describe
from distml.step import outcome
from distml.step.volume import Volume


@dataclass(frozen=True)
class Decision:
    """A decision whether to train, and its reason in one sentence."""

    train: bool
    reason: str


def decide(volume: Volume, service: str, namespace: str) -> Decision:
    """Decide whether a workflow trains. The volume may be read-only.

    Args:
        volume: the volume with the data set and the published versions.
        service: name of the InferenceService whose images may have drifted.
        namespace: namespace of the InferenceService.

    Raises:
        StepError: the replicas of the service cannot be asked, so nothing is known about drift.
    """
    state = History(volume.versions).state(wait=True)
    offered = folders.offered(volume.versions, state)
    if not offered:
        return Decision(True, "no version is published")
    try:
        data = fashion_mnist.verified_manifest(volume)["data_sha256"]
    except outcome.StepError as error:
        return Decision(True, f"the data set must be ingested again: {error}")
    same_data = [number for number, record in state.published.items() if record.facts.get("data_sha256") == data]
    if not same_data:
        return Decision(True, _newness(data, offered[-1], state))
    try:
        look = service_drift.look(service, namespace)
    except service_drift.NoReference as error:  # the version is of an older release; the next one has a reference
        return Decision(True, str(error))
    return Decision(look.drifted, look.text if look.drifted else f"{_known(same_data, state)}; {look.text}")


def _newness(data: str, newest: int, state: State) -> str:
    """Return why the data set counts as new: no version was trained on it."""
    record = state.published.get(newest)
    trained_on = record.facts.get("data_sha256") if record else None
    if trained_on is None:
        return f"version {newest} has no record of its data"
    return f"the data set {data[:12]} is new: version {newest} was trained on {trained_on[:12]}"


def _known(versions: list[int], state: State) -> str:
    """Return which of the versions that were trained on the data set is the newest one, if possible not withdrawn."""
    version = max(versions, key=lambda number: (number not in state.withdrawn, number))
    end = f", and {describe(state.withdrawn[version])}" if version in state.withdrawn else ""
    return f"version {version} was trained on the volume's data set{end}"
