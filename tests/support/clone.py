"""A clone of the project with tiny requirements: its `.venv` is made in seconds, without a package index."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from support.project import ROOT

# The interpreter that made the environment in which the tests run.
PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]
VERSION, RELEASE = "{}.{}".format(*sys.version_info), "{}.{}.{}".format(*sys.version_info)
TOOLS = ("make", "sh", "awk", "sed", "uname", "cksum", "rm", "mv", "cp", "env")


class Clone(NamedTuple):
    """A clone: its folder, the folder of the programs on its PATH (`TOOLS` are in `bin/tools`), and pip's wheels."""

    folder: Path
    bin: Path
    wheels: Path

    def variables(self, **more: str) -> dict[str, str]:
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "HOME": str(self.bin)}
        return {"PATH": f"{self.bin}:{self.bin}/tools", **pip, **more}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.variables(**more), capture_output=True, text=True, check=False
        )

    def environment(self, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        return self.run("sh", "environment.sh", *arguments, **more)

    def refusal(self, **more: str) -> str:
        """Return the only line that `environment.sh run` prints, which must end with exit status 2."""
        ended = self.environment("run", **more)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        return ended.stderr.strip()

    def python_line(self, **more: str) -> str:
        """Return the line of `environment.sh doctor` about Python."""
        return self.environment("doctor", **more).stdout.splitlines()[0]

    def installed(self) -> set[str]:
        return {path.name for path in (self.folder / ".venv").glob("lib/*/site-packages/tiny_*.py")}

    def program(self, name: str, script: str) -> Path:
        """Put a shell script on the PATH."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def fake_python(self, name: str, statements: str) -> Path:
        """Put a Python on the PATH that runs `statements` before the code given to -c."""
        return self.program(name, f"exec '{PYTHON}' -c 'import sys; {statements}; exec(sys.argv[-1])' \"$@\"")

    def change_stamp(self, pattern: str, line: str) -> None:
        stamp = self.folder / ".venv/made-from"
        stamp.write_text(re.sub(pattern, line.replace("\\", r"\\"), stamp.read_text(), count=1))


def make_clone(parent: Path) -> Clone:
    """Make a clone in `parent` with one Python and a doctor that prints its arguments."""
    clone = Clone(parent / "a clone", parent / "bin", parent / "wheels")
    for folder in (clone.folder / "src", clone.folder / "requirements", clone.bin / "tools", clone.wheels):
        folder.mkdir(parents=True)
    for name in ("environment.sh", "Makefile"):
        shutil.copy(ROOT / name, clone.folder)
    for name in TOOLS:
        (clone.bin / "tools" / name).symlink_to(shutil.which(name) or name)
    (clone.bin / f"python{VERSION}").symlink_to(PYTHON)
    clone.program("df", "echo; echo disk 9999999 0 9999999")
    setuptools, *pins = (wheel(clone.wheels, name) for name in ("setuptools", "tiny_run", "tiny_dev", "tiny_bench"))
    for number, name in enumerate(("run", "dev"), 1):
        (clone.folder / f"requirements/{name}.txt").write_text(setuptools + "".join(pins[:number]))
    (clone.folder / "requirements/bench.txt").write_text(pins[2])
    (clone.folder / "src/doctor.py").write_text("import sys; print(sys.argv[1:])\n")
    return clone


def wheel(folder: Path, name: str) -> str:
    """Write the wheel of an empty module; return its pin."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)  # ZipInfo has a constant time, which keeps the hash constant
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
