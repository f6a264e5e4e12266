"""The published model behind LitServe. The variables PORT, WORKERS and BATCH are set by peers.py."""

import os
from typing import Any

import image_request
import litserve
import numpy as np


class Flower(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._engine = image_request.load_engine()

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return image_request.images_of(request["instances"])

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._engine(x)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Return one row for each request: the measured requests have one image."""
        return list(output[:, None])

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        return {"predictions": image_request.predictions(output)}


if __name__ == "__main__":
    batch = int(os.environ["BATCH"])
    api = Flower(max_batch_size=batch, batch_timeout=0.001, api_path="/v1/models/flower-sample:predict")
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=int(os.environ["WORKERS"]))
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "generate_client_file": False}
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), **quiet)
