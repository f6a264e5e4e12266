"""Train the same CNN (`plain`) with JAX on two processes: jitted, all-reduced over gloo, data in memory.

python bench/ways/jax_two_processes.py NPZ_FOLDER MODEL BATCH_PER_WORKER GOAL PRECISION # started by bench/training.py

GOAL is a number of training steps or a validation accuracy below 1, PRECISION float32 or bfloat16.
"""

import functools
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from measurement import measure

State = tuple[jax.Array, ...]
SHAPES = [(3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 64), (576, 10)]


def initial_weights() -> list[tuple[jax.Array, jax.Array]]:
    """Return kernel and bias of each layer."""
    keys = jax.random.split(jax.random.key(1), len(SHAPES))
    kernel = jax.nn.initializers.glorot_uniform()
    return [(kernel(key, shape), jnp.zeros(shape[-1])) for key, shape in zip(keys, SHAPES, strict=True)]


def max_pool(x: jax.Array) -> jax.Array:
    """Pool 2x2 by maxima of four slices: the gradient of `reduce_window` takes longer than all the rest."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    corners = [x[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
    return jnp.maximum(jnp.maximum(corners[0], corners[1]), jnp.maximum(corners[2], corners[3]))


def compute_logits(weights: list[tuple[jax.Array, jax.Array]], images: jax.Array, dtype: np.dtype) -> jax.Array:
    """Compute in `dtype`, and the last layer in float32."""
    *convolutions, (kernel, bias) = weights
    x = images.astype(dtype) / 255
    for kernels, biases in convolutions:
        x = lax.conv_general_dilated(
            x, kernels.astype(dtype), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(max_pool(x + biases.astype(dtype)))
    return x.reshape(len(x), -1).astype(jnp.float32) @ kernel + bias


def adam(state: State, gradient: jax.Array) -> State:
    """Return weights, both moments and the step's number after a step of Adam with the usual parameters."""
    weights, mean, square, step = state
    step = step + 1
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    change = mean / (1 - 0.9**step) / (jnp.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weights - 1e-3 * change, mean, square, step


def main(folder: str, model: str, batch: str, goal: str, precision: str) -> None:
    assert model == "plain"
    task = json.loads(os.environ["TF_CONFIG"])
    addresses, index = task["cluster"]["worker"], task["task"]["index"]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(addresses[0], len(addresses), index)
    mesh = jax.make_mesh((len(addresses),), ("workers",), axis_types=(AxisType.Auto,))
    split = np.load(Path(folder) / "train.npz")
    size, count = int(batch), len(split["labels"]) // len(addresses)  # this worker's images
    everywhere, sharded = PartitionSpec(), PartitionSpec("workers")

    def globally(spec: PartitionSpec, value: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(NamedSharding(mesh, spec), value)

    images, labels = (globally(sharded, split[name][index :: len(addresses)][:count]) for name in ("images", "labels"))
    weights, unravel = ravel_pytree(initial_weights())  # one vector: one all-reduce, and one update
    logits_of = functools.partial(compute_logits, dtype=jnp.dtype(precision))

    def loss(weights: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
        likelihoods = jax.nn.log_softmax(logits_of(unravel(weights), images))
        return -jnp.take_along_axis(likelihoods, labels[:, None], 1).mean()

    def step(state: State, chosen: jax.Array, images: jax.Array, labels: jax.Array) -> State:
        gradient = jax.grad(loss)(state[0], images[chosen], labels[chosen])
        return adam(state, lax.pmean(gradient, "workers"))

    parts = (everywhere, sharded, sharded, sharded)
    jitted = jax.jit(
        jax.shard_map(step, mesh=mesh, in_specs=parts, out_specs=everywhere, check_vma=False), donate_argnums=0
    )

    def shares() -> Iterator[np.ndarray]:
        """Yield the indices of endless batches of this worker's images."""
        generator = np.random.default_rng(1)
        while True:
            yield from generator.permutation(count)[: count // size * size].reshape(-1, size)

    chosen = shares()

    def start() -> State:
        zeros = np.zeros(weights.shape, np.float32)
        return tuple(
            globally(everywhere, value) for value in (np.asarray(weights), zeros, zeros, np.zeros((), np.float32))
        )

    state = start()

    def take_steps(steps: int) -> None:
        nonlocal state
        for indices in itertools.islice(chosen, steps):
            state = jitted(state, globally(sharded, indices), images, labels)
        jax.block_until_ready(state)

    @jax.jit
    def count_correct(weights: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
        return (logits_of(unravel(weights), images).argmax(1) == labels).sum()

    def accuracy() -> float:
        validation = np.load(Path(folder) / "validation.npz")
        right = count_correct(state[0].addressable_data(0), validation["images"], validation["labels"])
        share = int(right) / len(validation["labels"])
        multihost_utils.sync_global_devices("validation")
        return share

    take_steps(50)
    state = start()
    measure(goal, size, take_steps, accuracy)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
