"""Scripts of the project, each in a process forked from one that has loaded TensorFlow, which saves seconds per script.

The process that forks never uses TensorFlow, so it has no threads of it. It runs as

    python -m support.forked_steps
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.project import ROOT, SOURCE

# What the scripts import, some of it only inside functions.
MODULES = (
    "distml.data.preparation",
    "distml.publishing.report.report",
    "distml.publishing.versions.conversion",
    "distml.training.loop",
    "model_signing.signing",
    "model_signing.verifying",
    "pipeline_admin",
    "predict_service",
)


class ForkedSteps:
    """The process that forks; `run` has the result of `project.run_script`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path):
        self._process = process
        self._folder = folder

    def run(self, script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the project as a user would."""
        outputs = [self._folder / name for name in ("stdout", "stderr")]
        request = [script, list(map(str, arguments)), environment, list(map(str, outputs))]
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        out, err = (path.read_text(errors="replace") for path in outputs)
        return subprocess.CompletedProcess([script, *map(str, arguments)], status, out, err)


@contextmanager
def forked_steps() -> Iterator[ForkedSteps]:
    """Yield a process that forks steps, until the block ends."""
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "support.forked_steps"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as process,
    ):
        yield ForkedSteps(process, Path(folder))
        assert process.stdin
        process.stdin.close()


def run(script: str, arguments: list[str], environment: dict[str, str], outputs: list[str]) -> None:
    """Run a script in this process, with files in place of stdout and stderr, and end the process."""
    for descriptor, path in enumerate((os.devnull, *outputs)):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags, 0o644), descriptor)
    os.environ.update(environment)
    sys.argv = [str(SOURCE / script), *arguments]
    status: object = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


def main() -> None:
    for module in MODULES:
        __import__(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # a group of its own, with which it can be killed
            run(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
