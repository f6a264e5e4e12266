"""The pod of tensorboard.yaml, and the target of the Makefile that shows it. No cluster is needed."""

import re

from tensorboard import program

import pipeline_admin
from support.makefile import dry_run
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
