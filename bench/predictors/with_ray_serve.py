"""The published model on Ray Serve. The variables PORT, REPLICAS and BATCH are set by peers.py."""

import os

import image_request
import numpy as np
import orjson
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

# By default a replica gets five requests at once, and fewer than a batch would be waiting.
MAX_ONGOING_REQUESTS = 256
BATCH = int(os.environ["BATCH"])


@serve.deployment(num_replicas=int(os.environ["REPLICAS"]), max_ongoing_requests=MAX_ONGOING_REQUESTS)
class Flower:
    def __init__(self) -> None:
        self._engine = image_request.load_engine()

    async def __call__(self, request: Request) -> Response:
        images = image_request.images_of(orjson.loads(await request.body())["instances"])
        probabilities = await self._classify_batch(images) if BATCH > 1 else self._engine(images)
        answer = {"predictions": image_request.predictions(probabilities)}
        return Response(orjson.dumps(answer), media_type="application/json")

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.001)
    async def _classify_batch(self, requests: list[np.ndarray]) -> list[np.ndarray]:
        """Return one row for each request: the measured requests have one image."""
        return list(self._engine(np.concatenate(requests))[:, None])


if __name__ == "__main__":
    quiet = {"enable_access_log": False}
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])}, logging_config=quiet)
    app = Flower.bind()  # type: ignore[attr-defined] # the decorator returns a Deployment
    serve.run(app, route_prefix="/", logging_config=quiet, blocking=True)
