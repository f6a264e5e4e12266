"""Commands on a volume without a free byte or inode: a small file system in a mount namespace of its own.

unshare --user --map-root-user --mount python -m support.full_volume FOLDER
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from distml.model import manifest
from distml.publishing.versions import folders, publication
from distml.step.volume import Volume
from support.crashes import candidate
from support.project import ROOT, SOURCE, run_script
from support.runs import write_run

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
# Scripts with their options: three that need space, one that makes some, and one that needs some again.
WRITERS = [
    ("data_ingestion.py",),
    ("pipeline_admin.py", "roll-back"),
    ("pipeline_admin.py", "withdraw", "--version=2"),
]
REMOVAL = ("pipeline_admin.py", "remove-runs", "--keep=1")


def reason_to_skip(folder: Path) -> str:
    """Return why this user may not mount a file system; empty if it may."""
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
    except FileNotFoundError:
        return "the program unshare is missing"


def run_all(folder: Path) -> dict[str, Any]:
    """Run the commands on a full volume in `folder`; return what `main` prints."""
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"}
    command = [*NAMESPACE, sys.executable, "-m", "support.full_volume", str(folder)]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout)


def fill(folder: Path) -> None:
    """Write until the file system has neither a free byte nor a free inode."""
    try:
        with (folder / "large").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        pass
    try:
        for number in range(10_000):
            (folder / f"empty{number}").touch()
    except OSError:
        pass


def digests(volume: Volume) -> dict[str, str]:
    """Return the digest of each version that is offered, after checking its files."""
    return {
        str(number): manifest.verified(volume.version(number))["digest"] for number in folders.numbers(volume.versions)
    }


def main(folder: str) -> None:
    """Print the status and the output of each command, and the offered versions before and after them."""
    volume = Volume(Path(folder))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=80", "tmpfs", folder], check=True)
    for number in range(3):
        write_run(volume, f"r{number}", days=9 - number)
    for _ in range(2):
        publication.publish(volume, candidate(volume), {"run": "r0"}, keep=5)
    fill(volume.root)
    versions = [digests(volume)]
    ends = []
    for script, *options in (*WRITERS, REMOVAL, WRITERS[1]):
        ended = run_script(script, *options, "--volume", folder)
        ends.append((ended.returncode, ended.stdout, ended.stderr))
        versions.append(digests(volume))
    print(json.dumps({"ends": ends, "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
