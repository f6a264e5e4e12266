"""The contract of the predictor and its clients: the model's name, its inputs, its outputs, and bad input.

The standard library alone, as in `client`.
"""

MODEL_NAME = "flower-sample"
# The inputs: image files of any size, or pixels of the model's own size. A request has one of them.
FILES, PIXELS = "image_bytes", "images"
# The outputs' datatypes, in the order of an answer.
OUTPUTS = {"probabilities": "FP32", "class_index": "INT64", "class_name": "BYTES"}


class BadInput(ValueError):
    """The request cannot be answered; the message is one sentence for its sender."""
