"""Triton's gRPC clients asking a predictor on the port in the command line; prints what they got, as JSON.

It is a program of its own: tritonclient.grpc and kserve register the same messages, so that no process imports both.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from distml.model.image_decoding import png
from support.predictor_requests import IMAGES

FILES = np.array([png(image) for image in IMAGES], object)
FORMS = {
    "files": ("image_bytes", FILES),
    "pixels": ("images", IMAGES),
    "floats": ("input-0", IMAGES.reshape(3, 784).astype(np.float32)),
    "half": ("input-0", IMAGES.reshape(3, 28, 28).astype(np.float16)),
}


def tensor(name: str, content: np.ndarray, datatype: str | None = None) -> Any:
    described = triton.InferInput(name, list(content.shape), datatype or np_to_triton_dtype(content.dtype))
    return described.set_data_from_numpy(content)


def refusal(client: Any, content: np.ndarray, **options: Any) -> list[str | None]:
    try:
        client.infer("flower-sample", [tensor("images", content)], **options)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return []


async def ask_async(url: str) -> list:
    async with triton_aio.InferenceServerClient(url) as client:
        answer = await client.infer("flower-sample", [tensor(*FORMS["files"])])
        return answer.as_numpy("probabilities").tolist()


def ask(url: str) -> dict[str, Any]:
    with triton.InferenceServerClient(url) as client:
        answers = {name: client.infer("flower-sample", [tensor(*form)]) for name, form in FORMS.items()}
        for algorithm in ("gzip", "deflate"):
            answers[algorithm] = client.infer(
                "flower-sample", [tensor(*FORMS["files"])], compression_algorithm=algorithm, priority=1, timeout=10**6
            )
        seen = client.infer("flower-sample", [tensor(*FORMS["files"])], outputs=[triton.InferRequestedOutput("images")])
        metadata = client.get_model_metadata("flower-sample", as_json=True)
        return {
            "states": [client.is_server_live(), client.is_server_ready(), client.is_model_ready("flower-sample")],
            "server": client.get_server_metadata(as_json=True)["extensions"],
            "inputs": [each["name"] for each in metadata["inputs"]],
            "outputs": [each["name"] for each in metadata["outputs"]],
            "probabilities": {name: answer.as_numpy("probabilities").tolist() for name, answer in answers.items()},
            "async": asyncio.run(ask_async(url)),
            "class names": [name.decode() for name in answers["files"].as_numpy("class_name")],
            "seen": seen.as_numpy("images").tolist(),
            "refusals": [
                refusal(client, IMAGES > 99),
                refusal(client, IMAGES, outputs=[triton.InferRequestedOutput("probabilities", class_count=3)]),
            ],
        }


if __name__ == "__main__":
    print(json.dumps(ask(f"127.0.0.1:{sys.argv[1]}")))
