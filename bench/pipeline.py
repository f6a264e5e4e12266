"""Run the whole pipeline on an empty volume, as `make run` does, and report time, test accuracy and peak memory.

    python bench/pipeline.py

Prints the figures and writes them to bench/results/pipeline.json.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import this_machine

from distml.step.volume import Volume

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "src" / "local_pipeline.py"


def main() -> None:
    with tempfile.TemporaryDirectory() as volume:
        started = time.monotonic()
        subprocess.run([sys.executable, SCRIPT, "--volume", volume], check=True)
        seconds = time.monotonic() - started
        report = json.loads((Volume(Path(volume)).report / "report.json").read_text())
    # The peak of the largest process, workers included; macOS reports bytes, Linux KiB.
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    content = {
        "machine": this_machine.description(),
        "winner": report["winner"],
        "ratios": [
            {"name": "test accuracy of the winner", "value": report["test_accuracy"], "target": 0.915},
            {"name": "seconds of the whole run, at most", "value": round(seconds), "target": 600},
            {"name": "peak memory of a process in GiB, at most", "value": round(memory / 2**30, 2), "target": 1.2},
        ],
    }
    (HERE / "results" / "pipeline.json").write_text(json.dumps(content, indent=2) + "\n")
    for figure in content["ratios"]:
        print(f"{figure['name']:45} {figure['value']:8}   target {figure['target']}")


if __name__ == "__main__":
    main()
