"""What the predictor needs of a version beside its SavedModel, made at publication, under the version's manifest."""

from distml.step.load_tensorflow import tf

from pathlib import Path
from typing import Any

import numpy as np

from distml.data import input_pipeline
from distml.model import image_decoding
from distml.model.lite_engine import LiteEngine
from distml.protocol import client
from distml.publishing import image_intensity
from distml.publishing.version_files import AGREEMENT, GOLDEN, LITE_MODEL
from distml.step import outcome
from distml.step.atomic_files import write_json
from distml.step.volume import Volume

CHECKED_IMAGES = 1000


def add(folder: Path, model: Any, volume: Volume) -> dict[str, Any]:
    """Convert a SavedModel for LiteRT, and write the result and a golden request with its answer beside it.

    Args:
        folder: holds the SavedModel.
        model: the same, loaded.
        volume: holds the images to compare the two forms on.

    Returns:
        What the manifest says of it: the histogram of the training images' mean intensity.

    Raises:
        StepError: the converted model answers otherwise than the SavedModel.
    """
    test = input_pipeline.load(volume, "test")
    lite_model = folder / LITE_MODEL
    lite_model.parent.mkdir(exist_ok=True)
    lite_model.write_bytes(converted(model))
    check_agreement(model, lite_model, test.images[:CHECKED_IMAGES])
    one_of_each = [int(np.argmax(test.labels == label)) for label in np.unique(test.labels)]
    write_json(folder / GOLDEN, golden(model, test.images[one_of_each]))
    counts, total = image_intensity.histogram(input_pipeline.load(volume, "train").images)
    return {"training_intensity": {"edges": image_intensity.EDGES.tolist(), "counts": counts.tolist(), "sum": total}}


def converted(model: Any) -> bytes:
    """The LiteRT form of a loaded SavedModel: images, uint8 [n, 28, 28, 1], to probabilities, float32 [n, classes]."""
    ask = model.signatures["serving_arrays"]
    (images,) = ask.structured_input_signature[1].values()
    probabilities = tf.function(lambda images: ask(images=images)["probabilities"], input_signature=[images])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([probabilities.get_concrete_function()], model)
    return converter.convert()


def check_agreement(model: Any, lite_model: Path, images: np.ndarray) -> None:
    """Fail unless both forms of the model give `images`, uint8 [n, 28, 28, 1], the same probabilities.

    Raises:
        StepError: they differ by more than `AGREEMENT`.
    """
    expected = model.signatures["serving_arrays"](images=tf.constant(images))["probabilities"].numpy()
    difference = float(np.abs(LiteEngine(lite_model)(images) - expected).max())
    if not difference <= AGREEMENT:
        raise outcome.StepError(
            f"not published: the converted model's probabilities differ from the SavedModel's by {difference:.2g},"
            f" more than {AGREEMENT:g}; look at what src/distml/publishing/conversion.py converts"
        )


def golden(model: Any, images: np.ndarray) -> dict[str, Any]:
    """A V1 request with `images` as PNG files, and the probabilities that the SavedModel answers."""
    files = [image_decoding.png(image) for image in images]
    probabilities = model.signatures["serving_default"](image_bytes=tf.constant(files))["probabilities"]
    return {
        "request": client.v1_request(files),
        "probabilities": probabilities.numpy().tolist(),
    }
