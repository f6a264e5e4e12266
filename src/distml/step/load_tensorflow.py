"""TensorFlow, loaded with the choices that it, Keras and gRPC read from the environment only once.

Whoever needs TensorFlow takes `tf` from here, before importing Keras; isort keeps that import first in every file.

What is trained depends on data, code and settings alone: neither a variable of the caller's nor a keras.json of another
project can change it. Loading takes seconds, during which SIGTERM ends the script too.
"""

import os
import signal

from distml.step import native_stderr, outcome

__all__ = ["tf"]

# As process 1 of a container the script would not end otherwise before `outcome.run` sets its own handler.
if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(outcome.TERMINATED))

# Hundreds of variables switch libraries, kernels, compilers and precisions. Those that stay say which workers there
# are, how many threads and which memory to use, and what to log.
READ_BY_LIBRARIES = ("TF_", "KERAS_", "ONEDNN_", "DNNL_", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
LEFT_ALONE = ("TF_CONFIG", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_CPP_", "TF_GPU_", "TF_FORCE_GPU_")
for name in [*os.environ]:
    if name.startswith(READ_BY_LIBRARIES) and not name.startswith(LEFT_ALONE):
        del os.environ[name]
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_HOME"] = os.devnull  # no folder: no keras.json is read, and none is written
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # by default only on processors with AVX-512 VNNI; see bench/README.md
os.environ.setdefault("GRPC_POLL_STRATEGY", "poll")  # a shorter round trip between workers than epoll's
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors arrive as exceptions

try:
    # TensorFlow says twice on stderr, at any log level, that oneDNN is on.
    with native_stderr.held_back():
        import tensorflow as tf
except ImportError as error:
    reason = str(error).strip().splitlines()[0]
    short = "failed to map" in reason or "allocate memory" in reason
    remedy = "give it more memory (ulimit -v)" if short else "remove .venv, and run make again"
    outcome.fail(f"TensorFlow cannot be loaded: {reason}; {remedy}")
