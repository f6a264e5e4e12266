"""The files that publication adds to a version for the predictor, and how closely both forms of the model must agree.

TensorFlow Serving expects in `assets.extra/` what is not part of the model, and ignores it.
"""

LITE_MODEL = "assets.extra/model.tflite"
GOLDEN = "assets.extra/golden.json"
# The largest difference between a probability of the SavedModel and that of its converted form.
AGREEMENT = 1e-3
