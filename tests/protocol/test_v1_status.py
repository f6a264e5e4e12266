"""The status and the metadata of the served version, compared with its SavedModel."""

from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from distml.protocol import v1_status
from distml.protocol.contract import ModelSpec
from distml.step.volume import Volume
from support.project import CLASS_NAMES

MODEL = ModelSpec("fashion", 3, CLASS_NAMES)


def test_the_status_lists_the_served_version_as_available() -> None:
    entry = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert v1_status.status(MODEL) == {"model_version_status": [entry]}


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
