"""The pod of tensorboard.yaml, and the target of the Makefile that shows it. No cluster is needed."""

import os
import re
import subprocess
from pathlib import Path

from tensorboard import program

import pipeline_admin
from support.makefile import dry_run
from support.project import ROOT
from support.yaml_files import pod_spec

CONTAINERS = {container["name"]: container for container in pod_spec("tensorboard.yaml")["containers"]}
PORTS = {"tensorboard": 6006, "reports": 6007}


def test_tensorboard_accepts_its_command_and_reads_all_runs() -> None:
    board = program.TensorBoard()
    board.configure(CONTAINERS["tensorboard"]["command"])
    flags = board.flags
    assert (flags.logdir, flags.host, flags.port) == ("/trained_model/runs", "127.0.0.1", PORTS["tensorboard"])
    assert flags.load_fast == "false"


def test_the_reports_listen_on_the_port_that_make_dashboard_forwards() -> None:
    args = pipeline_admin.parse_args(CONTAINERS["reports"]["command"][2:])
    assert args.port == PORTS["reports"]
    *_, forward = dry_run("dashboard").splitlines()
    assert forward.endswith(" port-forward --address=127.0.0.1 pod/tensorboard 6006 6007")


def test_each_probe_asks_its_container_from_inside_the_pod() -> None:
    asked = {name: container["readinessProbe"]["exec"]["command"][-1] for name, container in CONTAINERS.items()}
    assert asked == {name: f"exec 3<>/dev/tcp/127.0.0.1/{port}" for name, port in PORTS.items()}


def test_no_container_of_the_dashboard_opens_a_port_to_other_pods() -> None:
    assert all("ports" not in container for container in CONTAINERS.values())


def test_make_dashboard_prints_the_address_of_each_container() -> None:
    printed = re.findall(r"http://localhost:(\d+)", dry_run("dashboard"))
    assert [int(port) for port in printed] == list(PORTS.values())


def make_dashboard(folder: Path, fails: str) -> tuple[str, list[str]]:
    """Run `make dashboard` with a kubectl whose subcommand `fails` fails; return its output and the subcommands."""
    kubectl = folder / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nshift\necho "$@" >>{folder}/asked\necho "$1"\n[ "$1 $2" != "{fails}" ]\n')
    kubectl.chmod(0o755)
    variables = {"PATH": f"{folder}:{os.environ['PATH']}"}
    ended = subprocess.run(["make", "dashboard"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    return ended.stdout, [line.split()[0] for line in (folder / "asked").read_text().splitlines()]


def test_make_dashboard_deletes_a_pod_that_has_ended_before_it_looks(tmp_path: Path) -> None:
    _, asked = make_dashboard(tmp_path, fails="get pod")
    assert asked == ["get", "delete", "get", "create", "wait", "port-forward"]
    (delete,) = (line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("delete "))
    selector = "--field-selector=metadata.name=tensorboard,status.phase!=Pending,status.phase!=Running"
    assert delete.split() == ["delete", "pod", selector]


def test_make_dashboard_says_what_to_do_if_the_pod_does_not_get_ready(tmp_path: Path) -> None:
    printed, asked = make_dashboard(tmp_path, fails="wait --for=condition=Ready")
    assert asked == ["get", "delete", "get", "wait", "get"]
    assert printed.endswith(": kubectl --namespace=kubeflow delete pod tensorboard; make dashboard\n")
