"""The scans of security/: planted findings and stale exceptions fail; the bill of materials follows its schema."""

import datetime
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import yaml_files
from support.project import ROOT

sys.path.append(str(ROOT / "security"))

import environment
import pods
import sbom
import scan

TODAY = datetime.date.today()


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "security" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def entry(**changes: Any) -> dict[str, Any]:
    kept = {"check": "CKV_K8S_16", "objects": ["Pod/planted"], "reason": "a test", "review-by": TODAY}
    return kept | {name.replace("_", "-"): value for name, value in changes.items()}


def accepted(folder: Path, *entries: object) -> scan.exceptions.Exceptions:
    file = folder / "exceptions.yaml"
    file.write_text(yaml.safe_dump({"manifests": list(entries)}))
    return scan.exceptions.read(file, "manifests")


PLANTED = scan.Finding("CKV_K8S_16", "Pod/planted", "Container should not be privileged")


def test_the_scan_finds_what_is_planted_and_nothing_else(tmp_path: Path) -> None:
    for path in yaml_files.files():
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    for name in ("multi-worker-tfjob.yaml", "manifests/serving/serving-runtime.yaml"):
        text = (tmp_path / name).read_text()
        assert text.count("readOnlyRootFilesystem: true") >= 1
        (tmp_path / name).write_text(text.replace("readOnlyRootFilesystem: true", "privileged: true"))
    rules = [{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["*"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "wild"}, "rules": rules}
    (tmp_path / "role.yaml").write_text(yaml.safe_dump(role))
    ended = run("scan.py", "manifests", "--root", tmp_path)
    # The planted line takes the place of another setting, whose lack is found too.
    checks = {"CKV_K8S_16": "Container should not be privileged"}
    checks["CKV_K8S_22"] = "Use read-only filesystem for containers where possible"
    changed = ("multi-worker-training", "predictor-flower-sample", "predictor-step-create-service-object")
    expected = {f"Pod/{name}: {check}, {text}" for name in changed for check, text in checks.items()}
    expected.add("Role/wild: CKV_K8S_49, Minimize wildcard use in Roles and ClusterRoles")
    assert (ended.returncode, set(ended.stderr.splitlines())) == (1, expected)


@pytest.mark.parametrize("kind", ["StatefulSet", "InferenceService"])
def test_an_object_whose_pods_the_scan_does_not_know_stops_it(tmp_path: Path, kind: str) -> None:
    unknown = {"kind": kind, "metadata": {"name": "planted"}, "spec": {"predictor": {"model": {}}}}
    (tmp_path / "unknown.yaml").write_text(yaml.safe_dump(unknown))
    ended = run("scan.py", "manifests", "--root", tmp_path)
    expected = f"cannot scan {kind}/planted: teach security/pods.py its pods, or add its kind to WITHOUT\n"
    assert (ended.returncode, ended.stderr) == (2, expected)


def test_a_whole_deployment_is_scanned_and_a_patch_is_not() -> None:
    patch = {"kind": "Deployment", "metadata": {"name": "planted"}, "spec": {"template": {}}}
    whole = {**patch, "spec": {"template": {}, "selector": {}}}
    assert [len(pods.scanned(each)) for each in (patch, whole)] == [0, 1]


def test_each_kind_that_the_scan_leaves_out_exists() -> None:
    kinds = {each["kind"] for path in yaml_files.files() for each in yaml_files.documents(str(path))}
    assert kinds >= pods.WITHOUT


def test_the_scan_covers_a_pod_for_each_template_and_each_yaml_file() -> None:
    templates = yaml.safe_load((ROOT / "workflow.yaml").read_text())["spec"]["templates"]
    names = {each["metadata"]["name"] for each in pods.objects() if each["kind"] == "Pod"}
    expected = {f"step-{each['name']}" for each in templates if "container" in each}
    assert expected and names == expected | {
        "access-model",
        "multi-worker-training",
        "predict-service",
        "predictor-flower-sample",
        "predictor-step-create-service-object",
        "step-tfjob-object",
        "tensorboard",
    }


def test_an_exception_accepts_only_its_check_and_its_objects(tmp_path: Path) -> None:
    other = scan.Finding("CKV_K8S_16", "Role/planted", "another object")
    sentences = scan.judge([PLANTED, other], accepted(tmp_path, entry(objects=["Pod/*"])), TODAY)
    assert sentences == ["Role/planted: CKV_K8S_16, another object"]


def test_an_exception_past_its_date_is_a_finding(tmp_path: Path) -> None:
    yesterday = TODAY - datetime.timedelta(days=1)
    sentences = scan.judge([PLANTED], accepted(tmp_path, entry(review_by=yesterday)), TODAY)
    expected = f"the exception CKV_K8S_16 was to be reviewed by {yesterday}: decide again, and move the date"
    assert sentences == [expected]


def test_an_object_of_an_exception_that_matches_nothing_is_a_finding(tmp_path: Path) -> None:
    sentences = scan.judge([PLANTED], accepted(tmp_path, entry(objects=["Pod/planted", "Pod/former"])), TODAY)
    assert sentences == ["the exception CKV_K8S_16 for Pod/former matches no finding: remove it"]


@pytest.mark.parametrize(
    "wrong",
    [
        entry(reason=" "),
        entry(reason=None),
        entry(objects=[]),
        entry(objects="Pod/planted"),
        entry(review_by="soon"),
        entry(review_by=datetime.datetime(2027, 1, 1)),
        entry(until=TODAY),
        "CKV_K8S_16",
    ],
)
def test_an_incomplete_exception_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(environment.ScanError, match=r"entry 2 of manifests is not complete; expected check and reason"):
        accepted(tmp_path, entry(), wrong)


@pytest.mark.parametrize("text", ["", "[]", "manifests: {}", "manifests: [", "packages: []", None])
def test_an_unreadable_file_of_exceptions_is_one_sentence(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "exceptions.yaml"
    if text is not None:
        file.write_text(text)
    ended = run("scan.py", "manifests", "--exceptions", file, "--root", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)


def test_a_package_with_a_known_hole_or_no_answer_fails_the_scan(tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text(f"jinja2==2.4.1 --hash=sha256:{'0' * 64}\n")
    (tmp_path / "exceptions.yaml").write_text("packages: []\n")
    options = ["--requirements", pins, "--exceptions", tmp_path / "exceptions.yaml"]
    ended = run("scan.py", "packages", *options)
    if ended.returncode == 2:  # the service cannot be reached from here
        assert ended.stderr.startswith("pip-audit ") and ended.stderr.count("\n") == 1
    else:
        assert ended.returncode == 1
        assert "jinja2: PYSEC-" in ended.stderr


def test_the_bill_of_an_environment_follows_the_schema_and_has_licences(tmp_path: Path) -> None:
    output = tmp_path / "sbom.json"
    environment.program("python", "security")
    ended = run("sbom.py", "--python", ROOT / ".venv/security", "--output", output)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith(f"bill of materials: {output}, ")
    bill = json.loads(output.read_text())
    licences = {each["name"]: sbom.licences_of(each) for each in bill["components"]}
    assert licences["pip_audit"] == ["Apache Software License"] and licences["packaging"] == [
        "Apache-2.0 OR BSD-2-Clause"
    ]
    assert schema_error(output) == ""
    bill["components"][0]["type"] = "planted"
    output.write_text(json.dumps(bill))
    assert "planted" in schema_error(output)


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()) or "", end="")
"""


def schema_error(file: Path) -> str:
    """Return what the schema of CycloneDX finds wrong with a bill; empty for a right one."""
    python = environment.program("python", "security")
    return subprocess.run([python, "-c", VALIDATE, str(file)], capture_output=True, text=True, check=True).stdout


def test_the_bill_of_an_image_has_debians_packages_and_licences(tmp_path: Path) -> None:
    status = "Package: a\nStatus: install ok installed\nVersion: 1:2+b\nArchitecture: all\n\n"
    status += "Package: removed\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
    texts = {
        "var/lib/dpkg/status": status,
        "usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "usr/share/doc/a/copyright": "Format: x\n\nLicense: MIT\n text\n\nLicense: GPL-2+\n",
        "usr/share/doc/b/copyright": "See /usr/share/common-licenses/GPL-3.\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    first, second = sbom.debian_components(tmp_path)
    assert first["purl"] == "pkg:deb/debian/a@1%3A2%2Bb?arch=all&distro=debian-12"
    assert [sbom.licences_of(each) for each in (first, second)] == [["GPL-2+", "MIT"], ["GPL-3"]]


def test_a_missing_image_is_one_sentence_and_keeps_the_former_bill(tmp_path: Path) -> None:
    output = tmp_path / "sbom.json"
    output.write_text("former")
    ended = run("sbom.py", "--image", "no-such-image:v0", "--output", output)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "docker" in ended.stderr and output.read_text() == "former"
