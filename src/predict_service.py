"""Classify test images or image files with the newest published model, and draw its answers.

python3 /predict-service.py
"""

from distml.step.load_tensorflow import tf

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from distml.data import fashion_mnist, input_pipeline
from distml.model import image_decoding, saved_model
from distml.publishing.versions import publication, signature
from distml.step import command_line, outcome
from distml.step.progress_bar import say
from distml.step.text_table import table

MOST_SAMPLES = 100
TITLE_LENGTH = 22


@dataclass(frozen=True)
class Answers:
    """The model's answers for n images.

    Attributes:
        names: [n], a file's path or "test image 123".
        images: uint8 [n, 28, 28, 1].
        probabilities: float32 [n, 10].
        labels: int64 [n]; None for image files, whose classes are unknown.
    """

    names: list[str]
    images: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)


def main(args: argparse.Namespace) -> None:
    check_writable(args.output)
    files = {path: read_image(path) for path in args.images}
    folder = publication.current(args.volume)
    if folder is None:
        raise outcome.StepError(f"no published model in {args.volume.versions}; publish one or choose another --volume")
    with signature.checked(folder, args.public_key) as verified:
        model, manifest = saved_model.load(verified)
    say(f"version {folder.name} answers: {manifest['model']}, digest {manifest['digest'][:12]}\n")
    answers = ask_about_files(model, files) if files else ask_about_test_set(model, args)
    say(answer_table(answers, manifest["class_names"]))
    if answers.labels is not None:
        right = int(np.sum(answers.predicted == answers.labels))
        say(f"\n{right} of {len(answers.names)} right ({right / len(answers.names):.0%})")
    draw(answers, manifest["class_names"], args.output)
    say(f"\npicture: {args.output}")


def check_writable(output: Path) -> None:
    """Raise StepError, before any work, if the picture cannot be written."""
    target = output if output.exists() else output.parent
    if output.is_dir() or not os.access(target, os.W_OK):
        raise outcome.StepError(
            f"cannot write {output.absolute()}; choose another file, such as --output /tmp/predictions.png"
        )


def read_image(path: Path) -> tuple[bytes, np.ndarray]:
    """Return the content of an image file, and the model's input made from it, uint8 [28, 28, 1].

    Raises:
        StepError: the file is missing, or it is not an image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise outcome.StepError(f"cannot read {path}: {error.strerror}; expected a PNG or JPEG file") from None
    try:
        return data, image_decoding.decode(data)
    except Exception:
        # Pillow does not document which exceptions a damaged file raises.
        raise outcome.StepError(f"{path} is not an intact PNG or JPEG image; choose another file") from None


def ask_about_files(model: Any, files: dict[Path, tuple[bytes, np.ndarray]]) -> Answers:
    """Return the model's answers for image files, passed unchanged as a client of the server would send them.

    Raises:
        StepError: TensorFlow cannot decode a file that Pillow can.
    """
    signature = model.signatures["serving_default"]
    probabilities = []
    for path, (data, _) in files.items():
        try:
            probabilities.append(signature(image_bytes=tf.constant([data]))["probabilities"].numpy())
        except tf.errors.InvalidArgumentError:
            raise outcome.StepError(f"the model cannot decode {path}; save it again as PNG or JPEG") from None
    images = np.stack([image for _, image in files.values()])
    return Answers([str(path) for path in files], images, np.concatenate(probabilities))


def ask_about_test_set(model: Any, args: argparse.Namespace) -> Answers:
    """Return the model's answers for `--samples` test images, chosen by `--seed` and passed as arrays."""
    fashion_mnist.verified_manifest(args.volume)
    test = input_pipeline.load(args.volume, "test")
    chosen = np.sort(np.random.default_rng(args.seed).choice(len(test), args.samples, replace=False))
    images = test.images[chosen]
    probabilities = model.signatures["serving_arrays"](images=tf.constant(images))["probabilities"].numpy()
    return Answers([f"test image {index}" for index in chosen], images, probabilities, test.labels[chosen])


def answer_table(answers: Answers, class_names: list[str]) -> str:
    """Return a table with one line per image."""
    rows: list[list[str]] = [["image", "predicted", "probability", "second guess"]]
    order = answers.probabilities.argsort(axis=1)[:, ::-1]
    for name, (first, second), values in zip(answers.names, order[:, :2], answers.probabilities, strict=True):
        rows.append([name, class_names[first], f"{values[first]:.1%}", f"{class_names[second]} {values[second]:.1%}"])
    if answers.labels is not None:
        rows[0] += ["true", ""]
        for row, first, label in zip(rows[1:], answers.predicted, answers.labels, strict=True):
            row += [class_names[label], "right" if first == label else "WRONG"]
    return table(rows)


def draw(answers: Answers, class_names: list[str], output: Path) -> None:
    """Write a PNG of the images, as the model gets them, each below its answer."""
    count = len(answers.names)
    columns = min(count, max(5, math.ceil(math.sqrt(count))))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(1.8 * columns, 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes in grid:
        axes.set_axis_off()
    for number, axes in enumerate(grid[:count]):
        axes.imshow(answers.images[number, ..., 0], cmap="gray", vmin=0, vmax=255)
        text, colour = title(answers, number, class_names)
        axes.set_title(text, color=colour, fontsize=8, parse_math=False)
    figure.savefig(output, format="png", dpi=150)


def title(answers: Answers, number: int, class_names: list[str]) -> tuple[str, str]:
    """Return the text above one image and its colour: green if right, red if wrong, black if the class is unknown."""
    predicted = answers.predicted[number]
    answer = f"{class_names[predicted]} {answers.probabilities[number, predicted]:.0%}"
    if answers.labels is None:
        return f"{answer}\n{Path(answers.names[number]).name[-TITLE_LENGTH:]}", "black"
    label = answers.labels[number]
    return f"{answer}\ntrue: {class_names[label]}", "green" if predicted == label else "red"


def samples(text: str) -> int:
    """Parse an integer from 1 to `MOST_SAMPLES` (argparse type)."""
    return command_line.integer(text, 1, MOST_SAMPLES)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="image", help="PNG or JPEG file (default: images of the test set)"
    )
    parser.add_argument("--samples", type=samples, default=10, help=f"number of test images, 1 to {MOST_SAMPLES}")
    parser.add_argument("--seed", type=command_line.positive, default=1, help="seed that chooses the test images")
    parser.add_argument("--output", type=Path, default="predictions.png", help="PNG file to write")
    signature.add_public_key(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
