"""The predictor's imports: neither TensorFlow nor the packages for training."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from distml.step.volume import Volume
from support.project import SOURCE

HEAVY = {"tensorflow", "keras", "tf_keras", "matplotlib"}
TRAINING_PACKAGES = {"distml.data", "distml.training"}
LIST_LOADED = "import sys; print(*sorted(sys.modules), sep='\\n')"
LOAD_VERSION = """
import sys; folder = sys.argv.pop()
from pathlib import Path
from distml.serving import server
from distml.serving.predictor import Predictor
from distml.serving.release import served_version
from distml.serving.release.releases import Releases
Predictor(served_version.load(Path(folder), 1), "flower-sample", Releases())
"""


def loaded_by(program: str, *arguments: object) -> list[str]:
    """Return the names of the modules that a process has loaded after it ran `program`."""
    command = [sys.executable, "-c", f"{program}\n{LIST_LOADED}", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def names_imported_in(path: Path) -> set[str]:
    """Return the names that a file imports, at its top and inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def test_a_predictor_with_a_model_loads_no_tensorflow_or_training(published_volume: Volume) -> None:
    loaded = loaded_by(LOAD_VERSION, published_volume.version(1))
    assert "distml.serving.server" in loaded
    assert (HEAVY | TRAINING_PACKAGES) & set(loaded) == set()


def test_no_module_of_the_predictor_imports_tensorflow_later() -> None:
    loaded = [name for name in loaded_by("import distml.serving.server") if name.startswith("distml.")]
    files = [SOURCE.joinpath(*name.split(".")).with_suffix(".py") for name in loaded]
    imported = {str(file.relative_to(SOURCE)): names_imported_in(file) for file in files if file.exists()}
    assert len(imported) > 20
    assert {name: found for name, names in imported.items() if (found := (HEAVY | TRAINING_PACKAGES) & names)} == {}
