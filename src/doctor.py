"""Check that this machine can run `make run`, `make test` and `make serve`: one line per check, with the remedy.

    python3 src/doctor.py --volume ./trained_model

The script imports only Python's standard library: it runs before `.venv` exists.
"""

import argparse
import errno
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from distml.data import sources
from distml.step import command_line, network, outcome
from distml.step.machine import GIB, INSTRUCTION_SETS, WORKER_MEMORY, cores, free_memory, processor_flags
from distml.step.volume import Volume

OTHER_MEMORY = 0.6  # GiB: the launcher, and enough page cache to be of use
ENVIRONMENT_DISK = 2.5  # GiB
VOLUME_DISK = 0.5  # GiB: data set, checkpoints, versions, and files that are still being written
ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv"


class Unfit(Exception):
    """A check failed: what is wrong with the machine, and what to do. One line."""


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
        raise outcome.StepError(f"failed: {', '.join(failed)}; see above")


def passes(name: str, check: Callable[[], str]) -> bool:
    """Print the finding of `check`; return whether `check` passed."""
    try:
        outcome.write_line(sys.stdout, f"ok    {name:10} {check()}")
    except (Unfit, outcome.StepError) as error:
        finding = str(error)
    except OSError as error:
        finding, _ = outcome.describe_os_error(error)
    else:
        return True
    outcome.write_line(sys.stdout, f"FAIL  {name:10} {finding}")
    return False


def processor() -> str:
    """Return the number of cores and the instruction sets that TensorFlow uses."""
    count = len(cores())
    machine = f"{count} core{'s' * (count > 1)}, {platform.machine()}"
    if platform.machine() not in ("x86_64", "AMD64"):
        return machine
    flags = processor_flags()
    if flags and "avx" not in flags:
        raise Unfit(
            f"{machine}, without AVX, which TensorFlow needs: use another machine, or pass the host's CPU through"
            " to this virtual machine"
        )
    return f"{machine}, {' '.join(flag for flag in INSTRUCTION_SETS if flag in flags) or 'instruction sets unknown'}"


def memory(workers: int) -> str:
    """Return the free memory and what the workers need."""
    need, free = workers * WORKER_MEMORY + OTHER_MEMORY, free_memory()
    if free is None:
        return f"free memory unknown on this system, {workers} workers need {need:.1f} GiB"
    if free < need:
        raise Unfit(f"{free:.1f} GiB free, {workers} workers need {need:.1f}: end other programs, or lower WORKERS")
    return f"{free:.1f} GiB free, {workers} workers need {need:.1f}"


def disk(volume: Volume) -> str:
    """Return the free space for the volume and, unless `.venv` exists already, for the environment."""
    needs = {volume.root.absolute(): VOLUME_DISK}
    if not (ENVIRONMENT / "made-from").exists():  # environment.sh writes this file last
        needs[ENVIRONMENT] = ENVIRONMENT_DISK
    on_disks: dict[int, list[Path]] = {}
    for folder in needs:
        on_disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    return "; ".join(_space(folders, sum(needs[folder] for folder in folders)) for folders in on_disks.values())


def _space(folders: list[Path], need: float) -> str:
    """Return the free space of the disk of `folders` and their `need`, in GiB; raise Unfit if it is not enough."""
    names, nearest = " and ".join(folder.name for folder in folders), _existing(folders[0])
    for folder in map(_existing, folders):
        if not folder.is_dir():
            raise Unfit(f"{folder} is not a folder: choose another with DATA")
        if not os.access(folder, os.W_OK):
            raise Unfit(f"{folder} is not writable: choose another with DATA, or clone into a folder of your own")
    verb = "need" if len(folders) > 1 else "needs"
    _, _, free = shutil.disk_usage(nearest)
    if free / GIB < need:
        raise Unfit(f"{free / GIB:.1f} GiB free in {nearest}, {names} {verb} {need:.1f}: make room, or set DATA")
    return f"{free / GIB:.1f} GiB free, {names} {verb} {need:.1f}"


def _existing(folder: Path) -> Path:
    """Return the nearest existing path: `folder` or a folder above it."""
    while not folder.exists():
        folder = folder.parent
    return folder


def data(volume: Volume, source: str) -> str:
    """Return where the pipeline gets Fashion-MNIST."""
    if volume.dataset.exists():
        return f"already prepared in {volume.dataset}"
    return sources.where(source)


def ports(wanted: dict[str, int]) -> str:
    """Return the ports of `make serve` if it can listen on them."""
    if len(set(wanted.values())) < len(wanted):
        raise Unfit(f"{' and '.join(wanted)} are the same port: change one of them")
    problems = []
    for variable, port in wanted.items():
        try:
            network.listen(port).close()
        except OSError as error:
            remedy = "end the program that uses it, or " if error.errno == errno.EADDRINUSE else ""
            problems.append(f"{port}: {network.reason(error)}: {remedy}choose another with {variable}")
    if problems:
        raise Unfit(f"{'; '.join(problems)} (only `make serve` needs the ports)")
    return f"{', '.join(map(str, wanted.values()))} are free"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=sources.source, default="auto", help="source of the data set: see data_ingestion.py --help"
    )
    parser.add_argument("--workers", type=command_line.positive, default=2, help="worker processes of make run")
    parser.add_argument("--http-port", type=command_line.port, default=8080, help="HTTP port of make serve")
    parser.add_argument("--grpc-port", type=command_line.port, default=8081, help="gRPC port of make serve")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
