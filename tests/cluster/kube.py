"""Commands of kubectl and make as a user types them, and waiting with a time limit."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMESPACE = "kubeflow"


def run(*arguments: str, stdin: str | None = None, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run a kubectl command in the repository's root and the project's namespace; any exit status is accepted."""
    command = ["kubectl", f"--namespace={NAMESPACE}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False)


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 180) -> str:
    """Run a kubectl command that must succeed; return its output."""
    done = run(*arguments, stdin=stdin, timeout=timeout)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


def make(target: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make, without the variables of a make that started the tests; any exit status is accepted."""
    environment = {**os.environ, "MAKEFLAGS": ""}
    command = ["make", "--no-print-directory", target]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)


def execute(pod: str, *command: str, timeout: float = 180) -> str:
    """Run a command in a pod by `kubectl exec`; the command must succeed. Return its output."""
    return kubectl("exec", pod, "--", *command, timeout=timeout)


@contextmanager
def forwarded(target: str, port: int) -> Iterator[int]:
    """Forward a free port of this machine to `port` of a pod, a Deployment or a Service; yield the free port."""
    command = ["kubectl", f"--namespace={NAMESPACE}", "port-forward", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            line = forward.stdout.readline() if forward.stdout else ""
            found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line)
            assert found, f"{' '.join(command)} printed {line!r}"
            yield int(found[1])
        finally:
            forward.terminate()


def get(kind: str, name: str) -> dict:
    """Return an object of the cluster."""
    return json.loads(kubectl("get", kind, name, "--output=json"))


def create(document: dict) -> None:
    kubectl("create", "--filename=-", stdin=json.dumps(document))


def wait_until(what: str, seconds: float, condition: Callable[[], Any]) -> Any:
    """Call `condition` twice a second and return its first true value; fail after `seconds`, naming `what`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"timed out after {seconds:.0f} s waiting until {what}\n{state()}"
        time.sleep(0.5)
    return value


def runs(namespace: str, deployment: str) -> bool:
    """Return whether a controller runs; fail if it is installed and its image can be pulled, but it does not run."""
    where = f"--namespace={namespace}"
    if run("get", "deployment", deployment, where).returncode:
        return False
    rollout = run("rollout", "status", f"deployment/{deployment}", where, "--timeout=60s")
    if rollout.returncode:
        pods = [line for line in run("get", "pods", where).stdout.splitlines() if line.startswith(deployment)]
        assert any(re.search("ErrImagePull|ImagePullBackOff", pod) for pod in pods), (rollout.stderr, pods)
    return rollout.returncode == 0


def state() -> str:
    """Return the namespace's jobs, pods and events, for the message of a failed test."""
    return (
        run("get", "tfjobs,jobs,pods", "--output=wide").stdout + run("get", "events", "--sort-by=.lastTimestamp").stdout
    )
