"""The status and the metadata of the served version, compared with its SavedModel."""

from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from distml.protocol import v1_status
from distml.protocol.contract import ModelSpec, Release, Stage
from distml.step.volume import Volume
from support.project import CLASS_NAMES

MODEL = ModelSpec("fashion", 3, CLASS_NAMES)


def test_the_status_lists_the_served_version_as_available() -> None:
    entry = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert v1_status.status(MODEL) == {"model_version_status": [entry]}


RELEASES = [
    Release(5, "e", Stage.SHADOW, ""),
    Release(4, "d", Stage.REJECTED, "too slow"),
    Release(4, "", Stage.REJECTED, "damaged"),
    Release(3, "c", Stage.RELEASED, "first"),
    Release(2, "b", Stage.ENDED, "version 3 is newer"),
]


def test_the_status_lists_versions_on_trial_and_rejected_ones_once() -> None:
    entries = v1_status.status(MODEL, RELEASES)["model_version_status"]
    assert [(entry["version"], entry["state"], *entry["status"].values()) for entry in entries] == [
        ("3", "AVAILABLE", "OK", ""),
        ("5", "LOADING", "OK", ""),
        ("4", "END", "FAILED_PRECONDITION", "too slow"),
    ]


def test_the_version_that_answers_is_available_during_probation() -> None:
    entries = v1_status.status(MODEL, [Release(3, "c", Stage.PROBATION, "")])["model_version_status"]
    assert [(entry["version"], entry["state"]) for entry in entries] == [("3", "AVAILABLE")]


def test_each_of_these_versions_has_a_status_of_its_own() -> None:
    status = {"error_code": "FAILED_PRECONDITION", "error_message": "too slow"}
    expected = {"model_version_status": [{"version": "4", "state": "END", "status": status}]}
    assert v1_status.status_of("4", MODEL, RELEASES) == expected
    assert v1_status.status_of("2", MODEL, RELEASES) is None


def test_the_stages_are_written_with_versions_as_text() -> None:
    (stage,) = v1_status.stages(RELEASES[:1])
    assert stage == {"version": "5", "digest": "e", "stage": "shadow", "reason": ""}


def test_the_metadata_has_the_signatures_of_the_saved_model(published_volume: Volume) -> None:
    content = (published_volume.version(1) / "saved_model.pb").read_bytes()
    (graph,) = SavedModel.FromString(content).meta_graphs
    signatures = {
        name: MessageToDict(signature, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for name, signature in graph.signature_def.items()
    }
    assert signatures.pop("__saved_model_init_op")
    assert v1_status.metadata(MODEL) == {
        "model_spec": {"name": "fashion", "signature_name": "", "version": "3"},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }
