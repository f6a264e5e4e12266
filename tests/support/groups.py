"""Real worker groups that run a small program in place of a training."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from distml.step import network
from support.project import SOURCE

# The program finds `strategy`, `group` and `index`, and prints one line of JSON.
BEGINNING = """
import json, sys
sys.path.insert(0, sys.argv[1])
from distml.step.load_tensorflow import tf
from distml.training.group import tf_config, worker
group = tf_config.read()
index = group.index
strategy = worker.join_worker_group(group, worker.Watchdog(), 120)
"""


def run_in_group(program: str, workers: int, arguments: Sequence[str] = ()) -> list[Any]:
    """Run `program` in `workers` processes that form a group; return what each prints, from worker 0 on.

    Args:
        program: Python statements that continue `BEGINNING`; `sys.argv[2]` is this worker's argument.
        workers: number of processes.
        arguments: one argument for each worker.
    """
    addresses = network.free_addresses(workers)
    processes = []
    for index in range(workers):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task), "TF_NUM_INTRAOP_THREADS": "1"}
        command = [sys.executable, "-c", BEGINNING + program, str(SOURCE), *arguments[index : index + 1]]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    outputs = [process.communicate(timeout=240) for process in processes]
    assert not any(process.returncode for process in processes), outputs
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]
