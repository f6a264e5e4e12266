"""Step scripts in processes forked from one that has loaded TensorFlow, which saves each of them four seconds.

python -m reliability.forked_steps
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.project import ROOT, SOURCE


class Ended(NamedTuple):
    """The end of a step: its exit status, negative for a signal, and its output."""

    status: int
    output: str
    error: str


class Steps:
    """The process that has loaded TensorFlow; it runs one step at a time."""

    def __init__(self, folder: Path):
        environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"}
        pipe = subprocess.PIPE
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-m", "reliability.forked_steps", str(folder)],
            env=environment,
            stdin=pipe,
            stdout=pipe,
            text=True,
        )

    def run(self, script: str, *options: object) -> Ended:
        """Run a script of src/ as the leader of a process group; its standard streams are files."""
        assert self._server.stdin and self._server.stdout
        print(json.dumps([script, *map(str, options)]), file=self._server.stdin, flush=True)
        status = int(self._server.stdout.readline())
        return Ended(status, *((self._folder / name).read_text() for name in ("output", "error")))

    def end(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(timeout=30)


@contextmanager
def steps() -> Iterator[Steps]:
    with tempfile.TemporaryDirectory() as folder:
        running = Steps(Path(folder))
        try:
            yield running
        finally:
            running.end()


def run_forked(script: str, options: list[str], folder: Path) -> int:
    """Run a script in a new process; return its status as `subprocess` does."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.setpgid(0, 0)
    for name, descriptor in (("output", 1), ("error", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    status = 1
    try:
        sys.argv = [str(SOURCE / script), *options]
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)


def main(folder: str) -> None:
    for script in ("data_ingestion", "multi_worker_distributed_training", "model_selection", "pipeline_admin"):
        runpy.run_path(str(SOURCE / f"{script}.py"), run_name="loaded")
    for module in ("distml.data.preparation", "model_signing.signing"):  # which a step imports when it needs them
        importlib.import_module(module)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        script, *options = json.loads(line)
        print(run_forked(script, options, Path(folder)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
