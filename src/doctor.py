"""Look at this machine as `make run`, `make test` and `make serve` will find it: one line each, with the remedy.

    python3 src/doctor.py --volume ./trained_model

It needs Python's standard library alone: it runs before there is an environment.
"""

import argparse
import contextlib
import errno
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from distml.data import sources
from distml.step import command_line, network, outcome
from distml.step.memory import GIB, WORKER_MEMORY, free_memory
from distml.step.volume import Volume

OTHER_MEMORY = 0.6  # GiB: the launcher, and what the page cache needs to be of use
ENVIRONMENT_DISK = 2.5  # GiB
VOLUME_DISK = 0.5  # GiB: data, checkpoints, versions and what is written beside
ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv"
# Beyond AVX, which TensorFlow needs, these make it faster.
FASTER = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


class Unfit(Exception):
    """What is wrong with the machine, and what to do; one line."""


def main(args: argparse.Namespace) -> None:
    checks: dict[str, Callable[[], str]] = {
        "processor": processor,
        "memory": lambda: memory(args.workers),
        "disk": lambda: disk(args.volume),
        "data": lambda: data(args.volume, args.source),
        "ports": lambda: ports({"HTTP_PORT": args.http_port, "GRPC_PORT": args.grpc_port}),
    }
    failed = [name for name, check in checks.items() if not passes(name, check)]
    if failed:
        raise outcome.StepError(f"{', '.join(failed)}: see above")


def passes(name: str, check: Callable[[], str]) -> bool:
    """Print what `check` returns, or what it says is wrong."""
    try:
        outcome.write_line(sys.stdout, f"ok    {name:10} {check()}")
    except (Unfit, outcome.StepError) as error:
        finding = str(error)
    except OSError as error:
        finding, _ = outcome.said_by_the_system(error)
    else:
        return True
    outcome.write_line(sys.stdout, f"FAIL  {name:10} {finding}")
    return False


def processor() -> str:
    """The number of cores, and the instruction sets that TensorFlow looks for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    machine = f"{cores} core{'s' * (cores > 1)}, {platform.machine()}"
    if platform.machine() not in ("x86_64", "AMD64"):
        return machine
    has = instruction_sets()
    if has and "avx" not in has:
        raise Unfit(
            f"{machine}, without AVX, which TensorFlow needs: take another machine, or pass the host's CPU through"
        )
    return f"{machine}, {' '.join(name for name in ('avx', *FASTER) if name in has) or 'instruction sets not told'}"


def instruction_sets() -> set[str]:
    """The processor's flags; none where the system does not tell them."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


def memory(workers: int) -> str:
    """Free memory, against what the workers take."""
    need, free = workers * WORKER_MEMORY + OTHER_MEMORY, free_memory()
    if free is None:
        return f"not told by this system; {workers} workers take {need:.1f} GiB"
    if free < need:
        raise Unfit(f"{free:.1f} GiB free, {workers} workers take {need:.1f}: end other programs, or lower WORKERS")
    return f"{free:.1f} GiB free, {workers} workers take {need:.1f}"


def disk(volume: Volume) -> str:
    """Free space for the environment, if it is still to be made, and for the volume."""
    needs = {volume.root.absolute(): VOLUME_DISK}
    if not (ENVIRONMENT / "made-from").exists():  # what environment.sh writes last
        needs[ENVIRONMENT] = ENVIRONMENT_DISK
    on_disks: dict[int, list[Path]] = {}
    for folder in needs:
        on_disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    return "; ".join(_space(folders, sum(needs[folder] for folder in folders)) for folders in on_disks.values())


def _space(folders: list[Path], need: float) -> str:
    """Compare the free space of the disk that `folders` share with what they need, in GiB."""
    names, there = " and ".join(folder.name for folder in folders), _existing(folders[0])
    for folder in map(_existing, folders):
        if not folder.is_dir():
            raise Unfit(f"{folder} is no folder: name another by DATA")
        if not os.access(folder, os.W_OK):
            raise Unfit(f"{folder} is not writable: name another folder by DATA, or clone into one of your own")
    _, _, free = shutil.disk_usage(there)
    if free / GIB < need:
        takes = "take" if len(folders) > 1 else "takes"
        raise Unfit(f"{free / GIB:.1f} GiB free in {there}, {names} {takes} {need:.1f}: make room, or set DATA")
    return f"{free / GIB:.1f} GiB free for {names}: {need:.1f}"


def _existing(folder: Path) -> Path:
    """The nearest folder above that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def data(volume: Volume, source: str) -> str:
    """Where Fashion-MNIST would come from."""
    if volume.dataset.exists():
        return f"prepared already in {volume.dataset}"
    return sources.where(source)


def ports(wanted: dict[str, int]) -> str:
    """Whether `make serve` could listen."""
    if len(set(wanted.values())) < len(wanted):
        raise Unfit(f"{' and '.join(wanted)} are the same: choose another by one of them")
    for variable, port in wanted.items():
        try:
            network.listen(port).close()
        except OSError as error:
            remedy = "end what has it, or " if error.errno == errno.EADDRINUSE else ""
            raise Unfit(f"{port}: {network.reason(error)}: {remedy}choose another by {variable}") from None
    return f"{', '.join(map(str, wanted.values()))} are free"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--source", type=sources.source, default="auto", help="of the data: see data_ingestion.py")
    parser.add_argument("--workers", type=command_line.positive, default=2, help="worker processes of a training")
    parser.add_argument("--http-port", type=command_line.port, default=8080, help="of make serve")
    parser.add_argument("--grpc-port", type=command_line.port, default=8081, help="of make serve")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
