"""TensorFlow, loaded with the settings that TensorFlow, Keras and gRPC read from the environment only once.

Other modules import `tf` from here, before Keras; isort keeps that import first in every file.

Only data, code and settings decide what is trained: the caller's environment variables and another project's keras.json
cannot change it. Loading takes seconds, during which SIGTERM ends the script too.
"""

import logging
import os
import signal

from distml.step import native_stderr, outcome

__all__ = ["tf"]

# Without a handler, process 1 of a container ignores SIGTERM. `outcome.run` replaces this handler later.
if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(outcome.TERMINATED))

# Hundreds of variables select libraries, kernels, compilers and precisions. Those left alone set the workers, the
# threads, the GPU memory and the log level.
READ_BY_LIBRARIES = ("TF_", "KERAS_", "ONEDNN_", "DNNL_", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
LEFT_ALONE = ("TF_CONFIG", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_CPP_", "TF_GPU_", "TF_FORCE_GPU_")
for name in [*os.environ]:
    if name.startswith(READ_BY_LIBRARIES) and not name.startswith(LEFT_ALONE):
        del os.environ[name]
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_HOME"] = os.devnull  # not a folder, so Keras neither reads nor writes a keras.json
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # the default only on processors with AVX-512 VNNI; see bench/README.md
os.environ.setdefault("GRPC_POLL_STRATEGY", "poll")  # shorter round trips between workers than with epoll
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors arrive as exceptions

# Each candidate has a network, and so a trace, of its own; TensorFlow would warn of repeated traces.
logging.getLogger("tensorflow").addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())

try:
    # TensorFlow announces oneDNN twice on stderr, at any log level.
    with native_stderr.held_back():
        import tensorflow as tf
except ImportError as error:
    reason = str(error).strip().splitlines()[0]
    out_of_memory = "failed to map" in reason or "allocate memory" in reason
    remedy = "allow it more memory (ulimit -v)" if out_of_memory else "remove .venv and run make again"
    outcome.fail(f"TensorFlow cannot be loaded: {reason}; {remedy}")
