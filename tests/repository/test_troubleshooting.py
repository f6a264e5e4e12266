"""docs/troubleshooting.md quotes messages that the program prints, and every exit status."""

import re

from distml.step import outcome
from support.project import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
PROGRAM = [*ROOT.glob("src/**/*.py"), ROOT / "environment.sh", ROOT / "manifests/check_cluster.py"]
# A string over several lines is joined, as Python joins it.
SOURCE = re.sub(r'"\n\s*f?"', "", "\n".join(path.read_text() for path in PROGRAM))
# States that Kubernetes shows.
OF_KUBERNETES = {
    *(
        "Pending",
        "ContainerCreating",
        "Init:Error",
        "Init:CrashLoopBackOff",
        "ErrImagePull",
        "ImagePullBackOff",
        "Failed",
        "Multi-Attach error",
    ),
}


def test_each_message_on_the_troubleshooting_page_is_in_the_source() -> None:
    cells = re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE)
    quoted = {message for cell in cells for message in re.findall(r"`([^`]+)`", cell)} - OF_KUBERNETES
    assert len(quoted) > 12
    # … and numbers stand for values. The parts of the message between them are compared.
    parts = [part.strip() for message in quoted for part in re.split(r"…|\d[\d.]*", message) if len(part.strip()) > 3]
    assert [part for part in parts if part not in SOURCE] == []


def test_the_troubleshooting_page_lists_every_exit_status() -> None:
    cells = re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE)
    statuses = {int(status) for cell in cells for status in cell.split(", ")}
    own = {outcome.StepError.exit_status, outcome.REFUSED, outcome.DRIFT, outcome.LOST_PEER, outcome.TERMINATED}
    assert {0, 1, 129, 130, 141} | own <= statuses
