"""The files that publication adds to a version for the predictor, and how closely its two models must agree.

`assets.extra/` is the folder for files that are not part of the model; TensorFlow Serving ignores it.
"""

LITE_MODEL = "assets.extra/model.tflite"
GOLDEN = "assets.extra/golden.json"
REFERENCE = "assets.extra/reference.npz"
ADDED_FILES = {LITE_MODEL, GOLDEN, REFERENCE}
# The largest allowed difference between a probability of the SavedModel and that of the LiteRT model.
AGREEMENT = 1e-3
