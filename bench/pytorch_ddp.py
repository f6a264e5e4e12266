"""Train the same CNN (`plain`) with PyTorch's DistributedDataParallel: gloo, channels-last, data in memory.

python bench/pytorch_ddp.py FOLDER_OF_TRAIN_NPZ MODEL BATCH_PER_WORKER STEPS     # started by bench/training.py
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn


def build_network() -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]

    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), nn.Flatten(), nn.Linear(576, 10))


def main(volume: str, model: str, batch: str, steps: str) -> None:
    assert model == "plain"
    torch.set_num_threads(1)
    task = json.loads(os.environ["TF_CONFIG"])
    addresses, index = task["cluster"]["worker"], task["task"]["index"]
    dist.init_process_group("gloo", init_method=f"tcp://{addresses[0]}", rank=index, world_size=len(addresses))
    split = np.load(Path(volume) / "train.npz")  # written by as_npz.py: TensorFlow cannot be loaded beside PyTorch
    images = torch.from_numpy(split["images"]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(split["labels"])
    network = nn.parallel.DistributedDataParallel(build_network().to(memory_format=torch.channels_last))
    optimizer, loss = torch.optim.Adam(network.parameters()), nn.CrossEntropyLoss()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))[index :: len(addresses)]

    def take_steps(count: int) -> None:
        for number in range(count):
            at = number * int(batch) % (len(order) - int(batch))
            chosen = order[at : at + int(batch)]
            inputs = (images[chosen].float() / 255).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            loss(network(inputs), labels[chosen]).backward()
            optimizer.step()

    take_steps(50)
    started = time.monotonic()
    take_steps(int(steps))
    print(json.dumps({"images_per_second": int(steps) * int(batch) / (time.monotonic() - started)}), flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
