"""Scan the manifests and the pinned packages; exit 1 on a finding that security/exceptions.yaml does not accept.

python security/scan.py manifests   # needs only a package registry, for the scanner itself
python security/scan.py packages    # asks PyPI's vulnerability service about requirements/*.txt
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import exceptions
import pods
import yaml
from environment import ROOT, ScanError, program, report
from exceptions import Finding

EXCEPTIONS = ROOT / "security/exceptions.yaml"
# run.txt also pins what run-gpu.txt pins, except TensorFlow's packages for GPUs.
REQUIREMENTS = ("run.txt", "run-gpu.txt", "dev.txt", "bench.txt", "security.txt", "checkov.txt")


def scan_manifests(root: Path) -> list[Finding]:
    """Return checkov's findings in the YAML files of `root` and its folder manifests/."""
    objects = pods.objects(root)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "objects.yaml").write_text(yaml.safe_dump_all(objects))
        command = [program("checkov", "checkov"), "--framework=kubernetes", "--skip-download", "--output=json"]
        ended = subprocess.run([*command, f"--directory={folder}"], capture_output=True, text=True, check=False)
    try:
        answer = json.loads(ended.stdout)
        failed, summary = answer["results"]["failed_checks"], answer["summary"]
    except (ValueError, KeyError, TypeError):
        reason = (ended.stderr.strip().splitlines() or ["no answer"])[-1]
        raise ScanError(f"checkov could not scan the manifests: {reason}") from None
    if summary["parsing_errors"] or summary["passed"] == 0:
        raise ScanError(f"checkov could not parse {summary['parsing_errors']} files of the manifests")
    print(f"manifests: {len(objects)} objects, {summary['passed']} checks passed, {len(failed)} failed")
    print("not scanned: the remote bases of manifests/ (Argo Workflows, training operator)")
    return [Finding(each["check_id"], name_of(each["resource"]), each["check_name"]) for each in failed]


def name_of(resource: str) -> str:
    """Return kind/name of checkov's kind.namespace.name, whose third part may have the pod's labels at its end."""
    kind, _, name = resource.split(".", 2)
    return f"{kind}/{name.partition('.')[0]}"


def scan_packages(files: list[Path]) -> list[Finding]:
    """Return the known vulnerabilities of the pinned packages.

    Raises:
        ScanError: the service did not answer, or not about every package.
    """
    found = set()
    for file in files:
        command = [program("pip-audit", "security"), "--disable-pip", "--require-hashes", "--format=json"]
        command += ["--progress-spinner=off", f"--requirement={file}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            packages: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError):
            reason = (ended.stderr.strip().splitlines() or ["no answer"])[-1]
            raise ScanError(f"pip-audit could not ask its service about {file.name}: {reason}") from None
        skipped = [each["name"] for each in packages if "skip_reason" in each]
        if skipped:
            raise ScanError(
                f"pip-audit got no answer about {len(skipped)} of the {len(packages)} packages of {file.name}, "
                f"such as {skipped[0]}; run it where PyPI's vulnerability service can be reached"
            )
        print(f"packages: {file.name}, {len(packages)} packages asked about")
        for each in packages:
            remedy = "pin {} or later"
            for hole in each["vulns"]:
                fixed = remedy.format(hole["fix_versions"][0]) if hole["fix_versions"] else "no fixed version yet"
                found.add(Finding(hole["id"], each["name"], f"version {each['version']} has a known hole; {fixed}"))
    return sorted(found, key=lambda each: (each.object, each.check))


def judge(findings: list[Finding], accepted: exceptions.Exceptions, today: datetime.date) -> list[str]:
    """Return a sentence for each finding that no exception accepts, and for each exception that is wrong."""
    open_ones = [f"{each.object}: {each.check}, {each.text}" for each in findings if not accepted.accept(each)]
    return open_ones + accepted.problems(today)


def scan(part: str, args: argparse.Namespace) -> list[str]:
    accepted = exceptions.read(args.exceptions, part)
    if part == "manifests":
        findings = scan_manifests(args.root)
    else:
        findings = scan_packages(args.requirements or [ROOT / "requirements" / name for name in REQUIREMENTS])
    sentences = judge(findings, accepted, datetime.date.today())
    print(f"{part}: {len(findings)} findings, {len(sentences)} to act on")
    return sentences


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Scan the manifests and the pinned packages.")
    parser.add_argument("parts", nargs="+", choices=("manifests", "packages"))
    parser.add_argument("--exceptions", type=Path, default=EXCEPTIONS, help="default: security/exceptions.yaml")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of the YAML files; default: the project's")
    parser.add_argument("--requirements", type=Path, nargs="+", help="files of pins; default: those of requirements/")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    status = 0
    for part in args.parts:
        try:
            sentences = scan(part, args)
        except ScanError as error:
            status = report(error)
        else:
            for sentence in sentences:
                print(sentence, file=sys.stderr)
            status = status or bool(sentences)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(parse_args()))
