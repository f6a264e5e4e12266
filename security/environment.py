"""The environments of the tools that `make sbom` and `make scan` start; their packages conflict with the project's."""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class ScanError(Exception):
    """A reason why a scan or a bill of materials cannot be made, as one sentence."""


def program(name: str, packages: str) -> str:
    """Return the path of a tool; make its environment first unless its requirements are installed.

    Args:
        name: the tool's program.
        packages: the name of the file in requirements/, without its ending.

    Raises:
        ScanError: pip cannot install the packages; pip's own error is printed.
    """
    requirements = ROOT / "requirements" / f"{packages}.txt"
    # `make clean` removes it, and git ignores it.
    folder = ROOT / ".venv" / packages
    stamp = folder / "made-from"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"making {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        # Python compiles what a tool imports, which is a small part of what pip would compile.
        options = ["--quiet", "--require-hashes", "--no-deps", "--no-compile", "--requirement", str(requirements)]
        command = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", *options]
        if subprocess.run(command, check=False).returncode:
            raise ScanError(f"pip could not install {requirements.name} (its error is above); fix that and try again")
        stamp.write_text(requirements.read_text())
    return str(folder / "bin" / name)


def main() -> None:
    """Make the environments of all tools."""
    for packages in ("security", "checkov"):
        program("python", packages)


def report(error: ScanError) -> int:
    """Print the sentence, and return the exit status."""
    print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
