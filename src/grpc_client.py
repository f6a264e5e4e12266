"""Ask a predictor about image files over gRPC, by KServe's V2 protocol.

    python src/grpc_client.py --host localhost --port 8081 shoe.png shirt.jpg

Behind an ingress, `--service-hostname` is the host name that the InferenceService has there.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import http_client
from distml.step import network, outcome
from distml.step.text_table import table


def main(args: argparse.Namespace) -> None:
    files = [http_client.read_file(path) for path in args.images]
    answer = ask(args, files)
    try:
        print(described(args.images, answer))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise outcome.StepError(http_client.no_prediction(args)) from None


def described(images: list[Path], answer: Any) -> str:
    """A table of the predictions; raises what Python does where `answer` is something else."""
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    rows = [("image", "class", "probability")]
    for path, name, probabilities in zip(images, outputs["class_name"], outputs["probabilities"], strict=True):
        rows.append((str(path), name.decode(), f"{probabilities.max():.1%}"))
    return f"{answer.model_name}, version {answer.model_version}\n\n{table(rows)}"


def ask(args: argparse.Namespace, files: list[bytes]) -> Any:
    """Send the contents of PNG or JPEG files; returns KServe's `InferResponse`.

    Raises:
        StepError: nobody answers, or the server refuses, with its sentence.
    """
    network.use_no_proxy()
    # KServe reads the command line when it is imported.
    sys.argv = sys.argv[:1]
    try:
        import grpc
        import numpy as np
        from kserve import InferInput, InferRequest, InferResponse
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
    except ImportError as error:
        raise outcome.StepError(f"{error}; the gRPC client needs: pip install kserve") from None

    images = InferInput("image_bytes", [len(files)], "BYTES")
    images.set_data_from_numpy(np.array(files, dtype=object))
    request = InferRequest(http_client.MODEL, [images]).to_grpc()
    options = [("grpc.default_authority", args.service_hostname)] if args.service_hostname else []
    place = network.place(args.host, args.port)
    with grpc.insecure_channel(place, options) as channel:
        try:
            answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=http_client.TIMEOUT)
        except grpc.RpcError as error:
            remedy = f"; {http_client.REMEDY}" if error.code() is grpc.StatusCode.UNAVAILABLE else ""
            raise outcome.StepError(f"{place}, {error.code().name}: {error.details()}{remedy}") from None
    return InferResponse.from_grpc(answer)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return http_client.argument_parser(__doc__.splitlines()[0], 8081).parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
