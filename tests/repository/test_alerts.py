"""The alert rules of manifests/monitoring, which promtool evaluates on invented series of one sample a minute."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.programs import program_or_skip
from support.project import ROOT
from support.yaml_files import load

RULES = load("manifests/monitoring/prometheus-rule.yaml")["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
NAMESPACE = 'namespace="kubeflow"'
POD = f'{NAMESPACE},service="flower-sample",pod="a"'
FAILED = f'predictor_requests_total{{{POD},outcome="failed"}}'
ANSWERED = f'predictor_requests_total{{{POD},outcome="ok"}}'
FAST, TIMED = f'request_predict_seconds_bucket{{{POD},le="0.25"}}', f"request_predict_seconds_count{{{POD}}}"
REJECTED = f'predictor_releases_total{{{POD},stage="rejected"}}'
P_VALUE = f'predictor_drift_p_value{{{POD},feature="intensity"}}'
SIZE, FREE = (f"predictor_volume_{what}_bytes{{{POD}}}" for what in ("size", "free"))
CONTROLLER = f'{NAMESPACE},job="kubeflow/workflow-controller",pod="a"'
WORKFLOWS = f'argo_workflows_distml_workflows_total{{{CONTROLLER},status="%s"}}'
ERROR, SUCCESS = WORKFLOWS % "Error", WORKFLOWS % "Succeeded"
UP, CONTROLLER_UP = f'up{{{POD},job="kubeflow/predictors"}}', f"up{{{CONTROLLER}}}"

FIRES = [
    (
        "PredictorDown",
        {UP: "1x5 0x9", UP.replace('"a"', '"b"'): "1x5 stale"},
        "12m",
        "No replica of flower-sample answers",
    ),
    ("PredictorErrors", {FAILED: "0x3 1x20", ANSWERED: "0+10x30"}, "8m", "did not answer 1.961% of its requests"),
    ("PredictorErrors", {FAILED: "0+10x9"}, "5m", "flower-sample did not answer 100% of its requests"),
    ("PredictorSlow", {FAST: "0+90x20", TIMED: "0+100x20"}, "16m", "takes more than 0.25 s for 10% of the requests"),
    ("ReleaseRejected", {REJECTED: "0x5 1x20"}, "10m", "A replica of flower-sample rejected a new version"),
    ("ReleaseRejected", {REJECTED: "1x70 2x20"}, "75m", "A replica of flower-sample rejected a new version"),
    ("RequestsDrifted", {P_VALUE: "1x5 0.009x5"}, "8m", "The images sent to flower-sample differ in their intensity"),
    # A p-value near the limit.
    ("RequestsDrifted", {P_VALUE: "0.02x5 0.009 0.011x40"}, "34m", "The images sent to flower-sample differ"),
    ("ClaimNearlyFull", {SIZE: "100x20", FREE: "9x20"}, "12m", "has 9% of its space left"),
    # The counter of a status appears with its first workflow, and has the value 1.
    ("WorkflowFailed", {SUCCESS: "3x90", ERROR: "_x70 1x20", CONTROLLER_UP: "1x90"}, "75m", "failed in the namespace"),
    ("WorkflowFailed", {ERROR: "1x70 2x20"}, "75m", "A workflow failed in the namespace kubeflow"),
    # The controller was started again, and the former one had counted a failure too: in a new pod, and in the same one.
    (
        *("WorkflowFailed", {ERROR: "1x70", ERROR.replace('"a"', '"b"'): "_x70 1x9", CONTROLLER_UP: "1x70"}),
        *("75m", "A workflow failed"),
    ),
    ("WorkflowFailed", {ERROR: "1x5 _x90 1x9", CONTROLLER_UP: "1x110"}, "97m", "A workflow failed"),
]
# No sample for eleven minutes: Prometheus or the network was down.
GAP = "3x60 _x10 3x90"
CALM = [
    ("PredictorDown", {UP: "1x5 0x9", UP.replace('"a"', '"b"'): "1x15"}, "12m"),
    ("PredictorDown", {UP.replace("predictors", "another"): "0x9"}, "8m"),
    ("PredictorErrors", {FAILED: "0x3 1x20", ANSWERED: "0+100x30"}, "8m"),
    ("PredictorErrors", {FAILED: "0x3 1x20"}, "12m"),
    ("PredictorErrors", {FAILED.replace("failed", "bad input"): "0+10x30", ANSWERED: "0+10x30"}, "20m"),
    ("PredictorSlow", {FAST: "0+96x20", TIMED: "0+100x20"}, "16m"),
    ("PredictorSlow", {FAST: "0x20", TIMED: "0x20"}, "16m"),
    ("ReleaseRejected", {REJECTED: "0x5 1x90"}, "70m"),
    ("ReleaseRejected", {REJECTED: "1x90"}, "65m"),
    ("ReleaseRejected", {REJECTED: "0x90"}, "75m"),
    # Prometheus was installed after the rejection.
    ("ReleaseRejected", {REJECTED: "3x90"}, "1m"),
    *(("ReleaseRejected", {REJECTED: GAP}, at) for at in ("72m", "126m")),
    ("RequestsDrifted", {P_VALUE: "0.01x9"}, "8m"),
    ("RequestsDrifted", {P_VALUE: "0.02x5 0.009 0.011x40"}, "40m"),
    ("ClaimNearlyFull", {SIZE: "100x20", FREE: "10x20"}, "12m"),
    ("WorkflowFailed", {SUCCESS: "1+1x90"}, "80m"),
    ("WorkflowFailed", {ERROR: "1x90", CONTROLLER_UP: "1x90"}, "65m"),
    ("WorkflowFailed", {ERROR: "3x90", CONTROLLER_UP: "1x90"}, "1m"),
    *(("WorkflowFailed", {ERROR: GAP, CONTROLLER_UP: "1x60 _x10 1x90"}, at) for at in ("72m", "126m", "135m")),
    # The controller did not answer for a while.
    ("WorkflowFailed", {ERROR: GAP, CONTROLLER_UP: "1x60 0x10 1x90"}, "130m"),
]


@pytest.fixture(scope="module")
def promtool() -> str:
    return program_or_skip("promtool", "prometheus")


def evaluate(promtool: str, folder: Path, alert: str, series: dict[str, str], at: str) -> list[str]:
    """Return the labels and the summary of each alert that fires, which promtool prints as it expected none."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    samples = [{"series": name, "values": values} for name, values in series.items()]
    expected = [{"eval_time": at, "alertname": alert, "exp_alerts": []}]
    case = {"interval": "1m", "input_series": samples, "alert_rule_test": expected}
    test = folder / "test.yaml"
    test.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [case]}))
    ended = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, check=False)
    printed = ended.stdout + ended.stderr
    fired = re.findall(r"Labels:(\{.*?\})\s+Annotations:(\{.*?\})\]?$", printed.partition("got:")[2], re.MULTILINE)
    assert ended.returncode == (1 if fired else 0), printed
    return [" ".join(one) for one in fired]


def test_promtool_accepts_the_rules(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    ended = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True)
    assert (ended.returncode, f"SUCCESS: {len(ALERTS)} rules found" in ended.stdout) == (0, True), ended.stderr


@pytest.mark.parametrize(("alert", "series", "at", "summary"), FIRES)
def test_an_alert_fires(
    promtool: str, tmp_path: Path, alert: str, series: dict[str, str], at: str, summary: str
) -> None:
    (fired,) = evaluate(promtool, tmp_path, alert, series, at)
    assert summary in fired


@pytest.mark.parametrize(("alert", "series", "at"), CALM)
def test_an_alert_stays_calm(promtool: str, tmp_path: Path, alert: str, series: dict[str, str], at: str) -> None:
    assert evaluate(promtool, tmp_path, alert, series, at) == []


def test_each_alert_is_shown_to_fire_and_to_stay_calm() -> None:
    assert {alert for alert, *_ in FIRES} == {alert for alert, *_ in CALM} == set(ALERTS)


def test_the_troubleshooting_page_has_a_row_for_each_alert() -> None:
    section = (ROOT / "docs/troubleshooting.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"alert"} == set(ALERTS)
    assert {rule["annotations"]["runbook"] for rule in ALERTS.values()} == {"docs/troubleshooting.md#alerts"}


def test_the_alert_of_a_service_names_the_job_of_its_monitor() -> None:
    job = f"kubeflow/{load('manifests/monitoring/predictor-pod-monitor.yaml')['metadata']['name']}"
    (pattern,) = re.findall('job=~"(.*?)"', ALERTS["PredictorDown"]["expr"])
    assert re.fullmatch(pattern, job) and f'job="{job}"' in UP


def test_the_monitors_name_ports_of_the_pods_that_they_select() -> None:
    predictors = load("manifests/monitoring/predictor-pod-monitor.yaml")["spec"]
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    assert [each["port"] for each in predictors["podMetricsEndpoints"]] == [each["name"] for each in container["ports"]]
    (key,) = (each["key"] for each in predictors["selector"]["matchExpressions"])
    assert f"--selector={key}=" in (ROOT / "Makefile").read_text()
