"""The reason and the exit status of a worker that ends on an error of TensorFlow."""

from distml.step.load_tensorflow import tf

import os
import sys
from typing import Any

import pytest

from distml.training.group import worker

LOST_PEER = """Graph execution error:

Detected at node CollectiveReduceV2 defined at (most recent call last):
  File "loop.py", line 60, in run

Collective ops is aborted by: recvmsg:Connection reset by peer
Additional GRPC error information from remote target /job:worker/replica:0/task:1:
\t [[{{node CollectiveReduceV2}}]]"""


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (LOST_PEER, "Collective ops is aborted by: recvmsg:Connection reset by peer"),
        ("Graph execution error:", "Graph execution error:"),
        ("", "UnavailableError"),
    ],
)
def test_the_reason_of_a_tensorflow_error_skips_its_traceback(message: str, reason: str) -> None:
    assert worker.reason_of(tf.errors.UnavailableError(None, None, message)) == reason


@pytest.mark.parametrize(
    ("error", "message", "status", "line"),
    [
        (tf.errors.UnavailableError, LOST_PEER, 5, "lost a peer: Collective ops is aborted by: recvmsg:"),
        (tf.errors.AbortedError, "peer", 5, "lost a peer: peer"),
        (tf.errors.CancelledError, "peer", 5, "lost a peer: peer"),
        (tf.errors.FailedPreconditionError, "incarnation", 5, "lost a peer: incarnation"),
        (tf.errors.InternalError, "bug", 1, "TensorFlow failed: bug"),
        (tf.errors.ResourceExhaustedError, "OOM", 1, "TensorFlow failed: OOM"),
        (tf.errors.UnavailableError, "/v/checkpoint; No space left on device", 1, "cannot use /v/checkpoint: No space"),
    ],
)
def test_only_a_lost_peer_ends_a_worker_with_5(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Any,
    message: str,
    status: int,
    line: str,
) -> None:
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended, worker.ending_on_tensorflow_errors(0):
        raise error(None, None, message)
    assert ended.value.code == status
    assert line in capsys.readouterr().err
