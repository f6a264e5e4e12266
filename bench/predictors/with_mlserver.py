"""The published model as a custom runtime of MLServer: `mlserver start`, set up by the variables in peers.py.

The request is V2, MLServer's protocol: the image file is a BYTES tensor with the content type `base64`.
"""

import image_request
import orjson
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse


class Flower(MLModel):
    async def load(self) -> bool:
        self._engine = image_request.load_engine()
        self._class_names = image_request.class_names()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        files = self.decode(payload.inputs[0], default_codec=Base64Codec)
        probabilities = self._engine(image_request.stack(files))
        indices = probabilities.argmax(axis=1)
        outputs = [
            NumpyCodec.encode_output("probabilities", probabilities),
            NumpyCodec.encode_output("class_index", indices.reshape(-1, 1)),
            StringCodec.encode_output("class_name", [self._class_names[index] for index in indices.tolist()]),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    @custom_handler(rest_path="/v1/models/flower-sample:predict")
    async def predict_v1(self, request: Request) -> Response:
        """Answer a V1 request on a FastAPI route beside MLServer's own request handling."""
        instances = orjson.loads(await request.body())["instances"]
        answer = {"predictions": image_request.predictions(self._engine(image_request.images_of(instances)))}
        return Response(orjson.dumps(answer), media_type="application/json")
