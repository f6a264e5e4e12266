"""Import this first: it loads TensorFlow with the choices that it and gRPC read from the environment only once.

A variable that is set already is left alone. The first two choices are measured in bench/README.md. Loading takes
seconds, during which SIGTERM ends the script too.
"""

import os
import signal

import step

# As process 1 of a container the script would not end otherwise before `step.run` sets its own handler.
if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(step.TERMINATED))

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # by default only on processors with AVX-512 VNNI
os.environ.setdefault("GRPC_POLL_STRATEGY", "poll")  # a shorter round trip between workers than epoll's
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors arrive as exceptions


def _load_quietly() -> None:
    """TensorFlow says twice on stderr, at any log level, that oneDNN is on. A failing import still shows."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


_load_quietly()
