"""The Makefile: its targets, the variables that it accepts on the command line, and the commands that it would run."""

import os
import re
import subprocess

from support.project import ROOT

TEXT = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", TEXT, re.MULTILINE))
VARIABLES = re.findall(r"[A-Z_]+", re.findall(r"^VARIABLES := ((?:.*\\\n)*.*)", TEXT, re.MULTILINE)[0])


def dry_run(*arguments: str, **environment: str) -> str:
    """Return the commands that make would run, without the variables of a make that runs the tests."""
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, check=True
    ).stdout
