"""The decision whether a workflow trains: on drift, on new data, and if nothing is published."""

from dataclasses import dataclass

from distml.data import fashion_mnist
from distml.publishing.drift import service_drift
from distml.publishing.versions import folders
from distml.publishing.versions.history import History, State
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
    newest = offered[-1]
    if difference := _other_data(volume, newest, state):
        return Decision(True, difference)
    try:
        look = service_drift.look(service, namespace)
    except service_drift.NoReference as error:  # the version is of an older release; the next one has a reference
        return Decision(True, str(error))
    reason = look.text if look.drifted else f"version {newest} was trained on the volume's data set; {look.text}"
    return Decision(look.drifted, reason)


def _other_data(volume: Volume, version: int, state: State) -> str:
    """Return why the version counts as trained on other data than the volume's data set, or "" if it does not."""
    try:
        data = fashion_mnist.verified_manifest(volume)["data_sha256"]
    except outcome.StepError as error:
        return f"the data set must be ingested again: {error}"
    record = state.published.get(version)
    trained_on = record.facts.get("data_sha256") if record else None
    if trained_on is None:
        return f"version {version} has no record of its data"
    if trained_on != data:
        return f"the data set {data[:12]} is new: version {version} was trained on {trained_on[:12]}"
    return ""
