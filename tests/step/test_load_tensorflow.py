"""Loading TensorFlow, which takes seconds, may kill the process, and must not depend on the caller's environment."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import SOURCE

HOSTILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_NNX_ENABLED": "true",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "ONEDNN_DEFAULT_FPMATH_MODE": "bf16",
}
ANNOUNCEMENT = "I0000 00:00:1795674379.723620    6085 port.cc:153] oneDNN custom operations are on."


def load(tmp_path: Path, body: str, then: str = "") -> subprocess.CompletedProcess[str]:
    """Load a stand-in `tensorflow` with this body in a new process, then execute `then`."""
    (tmp_path / "tensorflow.py").write_text(f"import os, signal\n{body}\n")
    return subprocess.run(
        [sys.executable, "-c", f"from distml.step.load_tensorflow import tf\n{then}"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sigterm_ends_a_script_that_is_loading_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    script = subprocess.Popen(
        [sys.executable, "-c", "from distml.step.load_tensorflow import tf"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert script.stdout and script.stdout.readline() == "loading\n"
    script.terminate()
    assert script.wait(timeout=20) == 143


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGILL, signal.SIGSEGV, signal.SIGKILL])
def test_output_of_a_tensorflow_that_kills_the_process_is_shown(tmp_path: Path, number: int, end: str) -> None:
    ended = load(tmp_path, f"os.write(2, {f'no AVX here{end}'.encode()!r})\nos.kill(os.getpid(), {int(number)})")
    assert (ended.returncode, ended.stderr) == (-number, "no AVX here\n")


def test_a_failed_tensorflow_import_shows_its_output_and_one_line(tmp_path: Path) -> None:
    ended = load(tmp_path, "os.write(2, b'output\\n')\nraise ImportError('libx.so.1: cannot open\\n\\nFailed to load')")
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "output",
        "-c: TensorFlow cannot be loaded: libx.so.1: cannot open; remove .venv and run make again",
    ]


def test_tensorflows_announcements_stay_hidden_if_loading_is_cut_off(tmp_path: Path) -> None:
    ended = load(tmp_path, f"os.write(2, b'{ANNOUNCEMENT}\\nother\\n')\nos._exit(143)")
    assert (ended.returncode, ended.stderr) == (143, "other\n")


def test_tensorflows_announcements_are_hidden_and_later_output_is_not(tmp_path: Path) -> None:
    ended = load(tmp_path, f"os.write(2, b'{ANNOUNCEMENT}\\n')", then="import os; os.write(2, b'later\\n')")
    assert (ended.returncode, ended.stderr) == (0, "later\n")


def test_warnings_of_repeated_traces_are_hidden_and_others_are_not(tmp_path: Path) -> None:
    traces = "5 out of the last 5 calls to <function f> triggered tf.function retracing. Tracing is expensive"
    warn = "import logging; [logging.getLogger('tensorflow').warning(text) for text in ({!r}, 'other')]"
    ended = load(tmp_path, "", then=warn.format(traces))
    assert (ended.returncode, ended.stderr) == (0, "other\n")


def test_variables_and_keras_json_do_not_change_what_is_trained(tmp_path: Path) -> None:
    (tmp_path / ".keras").mkdir()
    settings = {"backend": "torch", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    code = (
        "from distml.step.load_tensorflow import tf\nimport keras, os\n"
        "found = [keras.config.backend(), keras.config.floatx(), keras.config.image_data_format()]\n"
        "found += [keras.config.epsilon(), keras.config.dtype_policy().name, keras.__version__[0]]\n"
        f"print([*found, *(os.environ.get(name) for name in {[*HOSTILE]})])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **HOSTILE, "HOME": str(tmp_path), "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    kept = ["tensorflow", None, None, "1", None, None]
    assert ended.stdout == f"{['tensorflow', 'float32', 'channels_last', 1e-07, 'float32', '3', *kept]}\n"


def test_variables_for_workers_threads_memory_and_logs_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["TF_CONFIG", "TF_NUM_INTRAOP_THREADS", "TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH"]
    for name in names:
        monkeypatch.setenv(name, "7")
    ended = load(tmp_path, "", then=f"import os; print([os.environ[name] for name in {names}])")
    assert ended.stdout == "['7', '7', '7', '7']\n"


def test_tensorflow_is_imported_in_one_place() -> None:
    importing = re.compile(r"^\s*(?:import|from) tensorflow\b", re.MULTILINE)
    importers = [path for path in SOURCE.rglob("*.py") if importing.search(path.read_text())]
    assert importers == [SOURCE / "distml" / "step" / "load_tensorflow.py"]


def test_no_module_imports_keras_before_tensorflow_is_loaded() -> None:
    importing = re.compile(r"^(?:import|from) (?:keras|tensorflow_datasets)\b", re.MULTILINE)
    texts = [path.read_text() for path in SOURCE.rglob("*.py")]
    found = [(text, match.start()) for text in texts if (match := importing.search(text))]
    assert len(found) >= 3
    assert all("from distml.step.load_tensorflow import tf\n" in text[:place] for text, place in found)
