"""The predictor's part of a version: a LiteRT model, a golden request, reference images, and distributions."""

from distml.step.load_tensorflow import tf

from pathlib import Path
from typing import Any

import numpy as np

from distml.data import input_pipeline
from distml.data.input_pipeline import Split
from distml.model import image_decoding
from distml.model.lite_engine import LiteEngine
from distml.protocol import client
from distml.publishing.drift import features, image_intensity
from distml.publishing.versions import reference_images
from distml.publishing.versions.reference_images import ReferenceImages
from distml.publishing.versions.version_files import AGREEMENT, GOLDEN, LITE_MODEL
from distml.step import outcome
from distml.step.atomic_files import write_json
from distml.step.volume import Volume

CHECKED_IMAGES = 1000


def add(folder: Path, model: Any, volume: Volume) -> dict[str, Any]:
    """Convert a SavedModel to LiteRT; write that, a golden request and reference images into the SavedModel's folder.

    Args:
        folder: the folder of the SavedModel.
        model: the same SavedModel, loaded.
        volume: the volume with the images.

    Returns:
        Facts for the version's manifest: the histogram of the training images' mean intensity, and the distributions
        of the validation images that a predictor compares incoming images with.

    Raises:
        StepError: the LiteRT model's probabilities differ from the SavedModel's.
    """
    test = input_pipeline.load(volume, "test")
    lite_model = folder / LITE_MODEL
    lite_model.parent.mkdir(exist_ok=True)
    lite_model.write_bytes(convert(model))
    check_agreement(model, lite_model, test.images[:CHECKED_IMAGES])
    one_of_each = [int(np.argmax(test.labels == label)) for label in np.unique(test.labels)]
    write_json(folder / GOLDEN, golden_request(model, test.images[one_of_each]))
    validation = input_pipeline.load(volume, "validation")
    write_reference_images(folder, model, validation)
    training = image_intensity.means(input_pipeline.load(volume, "train").images)
    counts = image_intensity.histogram(training).tolist()
    intensity = {"edges": image_intensity.EDGES.tolist(), "counts": counts, "sum": float(training.sum())}
    return {"training_intensity": intensity, **drift_reference(lite_model, validation.images)}


def convert(model: Any) -> bytes:
    """Return a SavedModel's LiteRT form, from images, uint8 [n, 28, 28, 1], to probabilities, float32 [n, classes]."""
    signature = model.signatures["serving_arrays"]
    (images,) = signature.structured_input_signature[1].values()
    probabilities = tf.function(lambda images: signature(images=images)["probabilities"], input_signature=[images])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([probabilities.get_concrete_function()], model)
    return converter.convert()


def check_agreement(model: Any, lite_model: Path, images: np.ndarray) -> None:
    """Compare the probabilities of the SavedModel and the LiteRT model for `images`, uint8 [n, 28, 28, 1].

    Raises:
        StepError: a probability differs by more than `AGREEMENT`.
    """
    expected = model.signatures["serving_arrays"](images=tf.constant(images))["probabilities"].numpy()
    difference = float(np.abs(LiteEngine(lite_model)(images) - expected).max())
    if not difference <= AGREEMENT:
        raise outcome.StepError(
            f"not published: the converted model's probabilities differ from the SavedModel's by {difference:.2g},"
            f" more than {AGREEMENT:g}; check the conversion in src/distml/publishing/versions/conversion.py"
        )


def write_reference_images(folder: Path, model: Any, validation: Split) -> None:
    """Write the reference images, chosen from the validation split, with the SavedModel's probabilities for them."""
    chosen = reference_images.choose(validation.labels)
    images, labels = validation.images[chosen], validation.labels[chosen]
    probabilities = model.signatures["serving_arrays"](images=tf.constant(images))["probabilities"].numpy()
    reference_images.write(folder, ReferenceImages(images, labels, probabilities))


def drift_reference(lite_model: Path, images: np.ndarray) -> dict[str, Any]:
    """Return the manifest's entry about the validation images, uint8 [n, 28, 28, 1], as the LiteRT model sees them."""
    return features.to_manifest(features.count(image_intensity.means(images), LiteEngine(lite_model)(images)))


def golden_request(model: Any, images: np.ndarray) -> dict[str, Any]:
    """Return a V1 request with `images` as PNG files, and the SavedModel's probabilities for them."""
    files = [image_decoding.png(image) for image in images]
    probabilities = model.signatures["serving_default"](image_bytes=tf.constant(files))["probabilities"]
    return {
        "request": client.v1_request(files),
        "probabilities": probabilities.numpy().tolist(),
    }
