"""Train the same CNN (`plain`) with PyTorch's DistributedDataParallel: gloo, channels-last, data in memory.

python bench/ways/pytorch_ddp.py FOLDER_OF_NPZ MODEL BATCH_PER_WORKER GOAL PRECISION     # started by bench/training.py

GOAL is a number of training steps or a validation accuracy below 1, PRECISION float32 or bfloat16.
"""

import copy
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from measurement import measure
from torch import nn


def build_network() -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]

    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), nn.Flatten(), nn.Linear(576, 10))


def load(folder: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read what as_npz.py wrote, since TensorFlow cannot load beside PyTorch: images uint8 [n, 1, 28, 28], labels."""
    split = np.load(Path(folder) / f"{name}.npz")
    return torch.from_numpy(split["images"]).permute(0, 3, 1, 2), torch.from_numpy(split["labels"])


def scale(images: torch.Tensor) -> torch.Tensor:
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


def main(folder: str, model: str, batch: str, goal: str, precision: str) -> None:
    assert model == "plain"
    torch.set_num_threads(1)
    torch.manual_seed(1)
    task = json.loads(os.environ["TF_CONFIG"])
    addresses, index = task["cluster"]["worker"], task["task"]["index"]
    dist.init_process_group("gloo", init_method=f"tcp://{addresses[0]}", rank=index, world_size=len(addresses))
    images, labels = load(folder, "train")
    network = nn.parallel.DistributedDataParallel(
        build_network().to(memory_format=torch.channels_last), static_graph=True, gradient_as_bucket_view=True
    )
    optimizer, loss = torch.optim.Adam(network.parameters(), fused=True), nn.CrossEntropyLoss()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def shares() -> Iterator[torch.Tensor]:
        """Yield the indices of this worker's share of endless global batches, in one order for all workers."""
        generator = torch.Generator().manual_seed(1)
        while True:
            order = torch.randperm(len(labels), generator=generator)[index :: len(addresses)]
            yield from order[: len(order) // int(batch) * int(batch)].split(int(batch))

    chosen = shares()

    def take_steps(count: int) -> None:
        for indices in itertools.islice(chosen, count):
            optimizer.zero_grad()
            with autocast:
                logits = network(scale(images[indices]))
            loss(logits.float(), labels[indices]).backward()
            optimizer.step()

    @torch.no_grad()
    def accuracy() -> float:
        inputs, expected = load(folder, "validation")
        with autocast:
            right = network.module(scale(inputs)).argmax(1) == expected
        dist.barrier()
        return right.float().mean().item()

    initial = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    take_steps(50)
    network.load_state_dict(initial[0])
    optimizer.load_state_dict(initial[1])
    measure(goal, int(batch), take_steps, accuracy)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
