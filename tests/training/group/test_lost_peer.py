"""The reason that a worker gives for an error of TensorFlow."""

from distml.step.load_tensorflow import tf

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
