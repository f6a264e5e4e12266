"""Loading TensorFlow, which takes seconds."""

import os
import subprocess
import sys

from conftest import SOURCE


def test_sigterm_ends_a_script_that_still_loads_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    script = subprocess.Popen(
        [sys.executable, "-c", "import tensorflow_options"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert script.stdout.readline() == "loading\n"
    script.terminate()
    assert script.wait(timeout=20) == 143
