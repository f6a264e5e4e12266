"""An environment for each peer, made on demand, because the peers' packages conflict with each other and with ours."""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# `make clean` removes it, and git ignores it.
ENVIRONMENTS = ROOT / ".venv" / "peers"


def programs_of(packages: str) -> Path | None:
    """Return the folder of an environment's programs; make the environment unless its requirements are installed.

    Returns None if pip cannot install the packages; pip's own error is printed.
    """
    requirements = ROOT / "requirements" / "peers" / f"{packages}.txt"
    folder = ENVIRONMENTS / packages
    stamp = folder / "made-from"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"making {folder} with {sys.executable}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = ["pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes", "--no-deps"]
        command = [str(folder / "bin" / "python"), "-m", *install, "--requirement", str(requirements)]
        if subprocess.run(command, check=False).returncode:
            return None
        stamp.write_text(requirements.read_text())
    return folder / "bin"
