"""KServe's server with a model that does nothing: the baseline for the predictor.

python bench/predictors/empty_predictor.py --http_port 8082 --grpc_port 8083
"""

from typing import Any

from kserve import Model, ModelServer


class Empty(Model):
    """A model that answers without reading the request."""

    def __init__(self) -> None:
        super().__init__("flower-sample")
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> dict[str, list]:
        return {"predictions": []}


if __name__ == "__main__":
    ModelServer().start([Empty()])
