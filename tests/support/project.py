"""The project under test: its folders, its scripts as a user runs them, and its class names."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
CLASS_NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def run_without_programs(script: str) -> tuple[int, list[str]]:
    """Run a script of the project with an empty PATH; return its exit status and the lines on stderr."""
    command, environment = [sys.executable, str(ROOT / script)], {**os.environ, "PATH": os.devnull}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr.splitlines()


def run_script(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step script as a user would."""
    return subprocess.run(
        [sys.executable, str(SOURCE / script), *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
