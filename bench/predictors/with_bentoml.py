"""The published model as a BentoML Service. The variables WORKERS and API are set by peers.py."""

import os
from typing import Any

import bentoml
import image_request

# The decorators of the three documented kinds of API; BentoML runs a synchronous one in a thread.
BATCHED = {"batchable": True, "max_batch_size": 64}
ROUTE = "/v1/models/flower-sample:predict"


@bentoml.service(workers=int(os.environ["WORKERS"]), logging={"access": {"enabled": False}})
class Flower:
    def __init__(self) -> None:
        self._engine = image_request.load_engine()

    if os.environ["API"] == "sync":

        @bentoml.api(route=ROUTE)
        def predict(self, instances: list[dict]) -> list[dict]:
            return self._answer(instances)

    else:

        @bentoml.api(route=ROUTE, **(BATCHED if os.environ["API"] == "batched" else {}))
        async def predict(self, instances: list[dict]) -> list[dict]:
            return self._answer(instances)

    def _answer(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return image_request.predictions(self._engine(image_request.images_of(instances)))
