"""The contract between predictor and clients: the model's name, inputs and outputs, and the error for bad input.

Only the standard library is imported, as in `client`.
"""

MODEL_NAME = "flower-sample"
# The inputs: image files of any size, or pixels of 28x28 images. A request has one of the two.
FILES, PIXELS = "image_bytes", "images"
# The datatype of each output, in the order of an answer.
OUTPUTS = {"probabilities": "FP32", "class_index": "INT64", "class_name": "BYTES"}


class BadInput(ValueError):
    """The request is invalid; the message is one sentence for its sender."""
