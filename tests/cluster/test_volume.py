"""The claim: the step remove-runs removes old runs only, and a full volume ends a step with the reason."""

import re

import pytest

from cluster import templates
from cluster.kube import execute

pytestmark = pytest.mark.cluster
# Writes a run that changed three days ago.
WRITE = """
cd /trained_model/runs
mkdir -p old-run/checkpoints
echo {} >old-run/run.json
find old-run -exec touch --date='3 days ago' {} +
"""


def runs() -> set[str]:
    return set(execute("access-model", "ls", "/trained_model/runs").split())


def test_the_step_removes_an_old_run_and_no_other(trained: str) -> None:
    before = runs()
    execute("access-model", "sh", "-e", "-c", WRITE)
    removed = templates.run("remove-runs", "remove-runs", **{"workflow__parameters__keep-runs": "0"})
    assert removed.status == 0, removed.output
    assert "1 run removed, " in removed.output
    assert trained in before and runs() == before


def test_ingestion_on_a_full_volume_fails_with_the_reason(pods: None) -> None:
    document = templates.pod("full", "ingest", {})
    (volume,) = (one for one in document["spec"]["volumes"] if one.pop("persistentVolumeClaim", None))
    volume["emptyDir"] = {"medium": "Memory", "sizeLimit": "20Mi"}
    ended = templates.run_pod(document)
    reason = r"cannot use /trained_model/\S+: No space left on device; make space on that disk \(.* remove-runs .*\)"
    assert ended.status == 1 and re.fullmatch(reason, ended.message), ended
