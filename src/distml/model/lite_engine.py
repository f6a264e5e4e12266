"""The engine: LiteRT, which runs a converted model without TensorFlow."""

import contextlib
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from distml.step import native_stderr

# Images per invocation. With more, the activations outgrow the processor's caches and each image takes longer.
_IMAGES_PER_INVOCATION = 16
_has_announced = False


class LiteEngine:
    """A model for use by one thread at a time; other threads can run Python while LiteRT computes."""

    def __init__(self, model: Path, threads: int = 1):
        # Given a path, LiteRT would map the file, and a later write to the file would change the answers.
        self._interpreter = Interpreter(model_content=model.read_bytes(), num_threads=threads)
        _allocate_quietly(self._interpreter)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._size = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Classify images, uint8 [n, 28, 28, 1], 0 is black; return probabilities, float32 [n, classes]."""
        parts = [
            self._run(images[at : at + _IMAGES_PER_INVOCATION]) for at in range(0, len(images), _IMAGES_PER_INVOCATION)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, images: np.ndarray) -> np.ndarray:
        if len(images) != self._size:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._size = len(images)
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def _allocate_quietly(interpreter: Interpreter) -> None:
    """Allocate tensors; the first time, hold back stderr, where LiteRT names its delegate. Errors are exceptions."""
    global _has_announced
    with contextlib.nullcontext() if _has_announced else native_stderr.held_back():
        interpreter.allocate_tensors()
    _has_announced = True
