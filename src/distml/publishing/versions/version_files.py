"""The predictor's files of a version and entries of its manifest, and how closely its two models must agree.

`assets.extra/` is the folder for files that are not part of the model; TensorFlow Serving ignores it.
"""

from distml.publishing.drift import features

LITE_MODEL = "assets.extra/model.tflite"
GOLDEN = "assets.extra/golden.json"
REFERENCE = "assets.extra/reference.npz"
ADDED_FILES = {LITE_MODEL, GOLDEN, REFERENCE}
ADDED_FACTS = {"training_intensity", features.DRIFT_REFERENCE}
# The largest allowed difference between a probability of the SavedModel and that of the LiteRT model.
AGREEMENT = 1e-3
