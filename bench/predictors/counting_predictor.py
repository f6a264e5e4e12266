"""The predictor, which also counts its answers by version: the sample answers_total of /metrics.

    python bench/predictors/counting_predictor.py --volume ./trained_model --release guarded

hey does not read answers, so only the server can count them.
"""

import sys
from pathlib import Path

import numpy as np
from prometheus_client import Counter

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import serve
from distml.protocol import v1
from distml.protocol.contract import ModelSpec
from distml.step import outcome

ANSWERS = Counter("answers", "Answers by version", ["version"])
write = v1.answer


def count_and_write(request: v1.V1Request, probabilities: np.ndarray, model: ModelSpec) -> bytes:
    ANSWERS.labels(str(model.version)).inc()
    return write(request, probabilities, model)


if __name__ == "__main__":
    v1.answer = count_and_write
    outcome.run(serve.main, serve.parse_args())
