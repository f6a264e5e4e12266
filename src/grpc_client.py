"""Ask a predictor to classify image files, over gRPC with KServe's V2 protocol.

    python src/grpc_client.py --host localhost --port 8081 shoe.png shirt.jpg

Behind an ingress, `--service-hostname` is the InferenceService's host name.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from distml.protocol import client
from distml.protocol.contract import FILES
from distml.step import network, outcome


def main(args: argparse.Namespace) -> None:
    files = [client.read_file(path) for path in args.images]
    answer = ask(args, files)
    try:
        print(prediction_text(args.images, answer))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise client.no_prediction(args) from None


def prediction_text(images: list[Path], answer: Any) -> str:
    """Return a table of the predictions.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: `answer` is not a prediction for `images`.
    """
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    predictions = zip(images, outputs["class_name"], outputs["probabilities"], strict=True)
    rows = [(path, name.decode(), probabilities.max()) for path, name, probabilities in predictions]
    return client.prediction_table(answer.model_name, answer.model_version, rows)


def ask(args: argparse.Namespace, files: list[bytes]) -> Any:
    """Send the contents of PNG or JPEG files; return KServe's `InferResponse`.

    Raises:
        StepError: no server answers, or the server refuses (the message has its reason).
    """
    network.use_no_proxy()
    # KServe parses the command line when it is imported.
    sys.argv = sys.argv[:1]
    try:
        import grpc
        import numpy as np
        from kserve import InferInput, InferRequest, InferResponse
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
    except ImportError as error:
        raise outcome.StepError(f"{error}; the gRPC client needs kserve: run `pip install kserve`") from None

    images = InferInput(FILES, [len(files)], "BYTES")
    images.set_data_from_numpy(np.array(files, dtype=object))
    request = InferRequest(args.model_name, [images]).to_grpc()
    options = [("grpc.default_authority", args.service_hostname)] if args.service_hostname else []
    place = network.format_address(args.host, args.port)
    with grpc.insecure_channel(place, options) as channel:
        try:
            answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=client.TIMEOUT)
        except grpc.RpcError as error:
            unavailable = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            remedy = f"; {client.REMEDY}" if unavailable else ""
            raise (client.NoAnswer if unavailable else outcome.StepError)(
                f"the call to {place} failed with {error.code().name}: {error.details()}{remedy}"
            ) from None
    return InferResponse.from_grpc(answer)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return client.argument_parser(__doc__.splitlines()[0], 8081).parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
