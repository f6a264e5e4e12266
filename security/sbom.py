"""Write the bill of materials of the image, or of a Python environment, and print its licences.

    python security/sbom.py --image kubeflow/multi-worker-strategy:v0.1
    python security/sbom.py --python .venv   # needs no docker, and has no Debian packages

The file is CycloneDX in JSON. cyclonedx-py reads Python's packages; dpkg's own files name those of Debian.
"""

import argparse
import collections
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import Any

from environment import ROOT, ScanError, program, report

# What the bill needs from the image: the packages' metadata, not the packages.
SITE = "lib/python3*/site-packages/*.dist-info"
FILES = f"opt/venv/{SITE} usr/local/{SITE} usr/share/doc/*/copyright var/lib/dpkg/status usr/lib/os-release"
# A base image may have no packages in /usr/local.
COLLECT = f"cd / && ls -d {FILES} 2>/dev/null | tar --create --files-from=-"
Component = dict[str, Any]


def python_components(environment: Path) -> dict[str, Any]:
    """Return the bill of a Python environment, as cyclonedx-py writes it."""
    tool = program("cyclonedx-py", "security")
    command = [tool, "environment", str(environment), "--output-reproducible", "--spec-version=1.6"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise ScanError(f"cyclonedx-py cannot read {environment}: {reason}; name a Python or its environment")
    bill: dict[str, Any] = json.loads(ended.stdout)
    return bill


def unpack(image: str, folder: Path) -> None:
    """Copy the metadata of the image's packages into `folder`."""
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", COLLECT]
    try:
        subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True)
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise ScanError("this machine has no docker; install it, or take --python for an environment") from None
    except subprocess.CalledProcessError as error:
        text = error.stderr if isinstance(error.stderr, str) else error.stderr.decode()
        reason = (text.strip().splitlines() or ["no message"])[-1]
        raise ScanError(f"docker cannot read the image {image} ({reason}); build it with make image") from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def copyright_licences(file: Path) -> list[str]:
    """Return the licences that a Debian copyright file names, in alphabetical order.

    A file for machines names them in fields; other files refer to the texts of Debian's common licences.
    """
    text = file.read_text(errors="replace") if file.exists() else ""
    machine_readable = re.match(r"\s*Format(-Specification)?:", text)
    pattern = r"^License:[ \t]*(\S.*)$" if machine_readable else r"/usr/share/common-licenses/([\w.-]*\w)"
    return sorted({" ".join(found.split()) for found in re.findall(pattern, text, re.MULTILINE)})


def debian_components(root: Path) -> list[Component]:
    """Return a component for each installed Debian package of an unpacked image."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', (root / "usr/lib/os-release").read_text(), re.MULTILINE))
    distribution = f"{release['ID']}-{release['VERSION_ID']}"
    found = []
    for block in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", block, re.MULTILINE))
        if fields.get("Status") != "install ok installed":
            continue
        name, version, processor = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/{release['ID']}/{name}@{version.replace('+', '%2B').replace(':', '%3A')}"
        component = {"type": "library", "name": name, "version": version}
        component["purl"] = component["bom-ref"] = f"{purl}?arch={processor}&distro={distribution}"
        found.append(with_licences(component, copyright_licences(root / "usr/share/doc" / name / "copyright")))
    installed = {component["name"] for component in found}
    # The Dockerfile copies a data set out of a Debian package that it does not install.
    for folder in sorted({path.parent for path in (root / "usr/share/doc").glob("*/copyright")}):
        if folder.name not in installed:
            component = {"type": "data", "name": folder.name, "bom-ref": folder.name}
            found.append(with_licences(component, copyright_licences(folder / "copyright")))
    return found


def with_licences(component: Component, names: list[str]) -> Component:
    return component | ({"licenses": [{"license": {"name": name}} for name in names]} if names else {})


def image_bill(image: str) -> dict[str, Any]:
    """Return the bill of an image: its Python packages, in both places, and its Debian packages."""
    with tempfile.TemporaryDirectory() as folder:
        root, environment = Path(folder, "root"), Path(folder, "environment")
        unpack(image, root)
        # cyclonedx-py reads an environment, so the metadata become those of an empty one.
        venv.create(environment, with_pip=False)
        (packages,) = environment.glob("lib/python3*/site-packages")
        for path in [*root.glob(f"usr/local/{SITE}"), *root.glob(f"opt/venv/{SITE}")]:
            (packages / path.name).exists() or path.rename(packages / path.name)
        bill = python_components(environment)
        bill["components"] += debian_components(root)
    name, _, version = image.rpartition(":")
    bill["metadata"]["component"] = {"type": "container", "bom-ref": "image", "name": name or image, "version": version}
    bill["dependencies"] = [each for each in bill["dependencies"] if each["ref"] != "root-component"]
    return bill


def licences_of(component: Component) -> list[str]:
    """Return the names of a component's licences; a whole text counts as the first of its lines."""
    found = []
    for each in component.get("licenses", []):
        licence = each.get("license", {})
        name = each.get("expression") or licence.get("id") or licence.get("name", "")
        if name.startswith("declared license of "):
            name = licence.get("text", {}).get("content", "").strip().partition("\n")[0] or name
        found.append(name.removeprefix("License :: OSI Approved :: ")[:60])
    return sorted(set(found))


def print_licences(bill: dict[str, Any]) -> None:
    """Print how many components have each licence, Python's and Debian's apart, and those without a known one."""
    parts: dict[str, list[Component]] = {"Python": [], "Debian": []}
    for each in bill["components"]:
        parts["Python" if each.get("purl", "").startswith("pkg:pypi/") else "Debian"].append(each)
    for part, components in parts.items():
        counts = collections.Counter(name for each in components for name in licences_of(each))
        width = max([len(part) + 9, *map(len, counts)])
        if components:
            print(f"{part + ' licence':{width}}  components\n{'-' * width}  ----------")
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            print(f"{name:{width}}  {count:10}")
        unknown = sorted(each["name"] for each in components if not licences_of(each))
        if components:
            print(f"without a known licence: {', '.join(unknown) or 'none'}\n")


def write(bill: dict[str, Any], output: Path) -> None:
    """Write the bill beside its place and rename it."""
    part = output.with_name(f"{output.name}.part")
    try:
        part.write_text(json.dumps(bill, indent=1) + "\n")
        part.replace(output)
    except OSError as error:
        raise ScanError(f"cannot write {output}: {error.strerror}; name another file with --output") from None


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the bill of materials, and print its licences.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", help="an image in this machine's docker")
    source.add_argument("--python", type=Path, help="a Python, or the folder of its environment")
    parser.add_argument("--output", type=Path, default=ROOT / "sbom.json", help="default: sbom.json")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    try:
        bill = image_bill(args.image) if args.image else python_components(args.python)
        write(bill, args.output)
    except ScanError as error:
        return report(error)
    print_licences(bill)
    print(f"bill of materials: {args.output}, {len(bill['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(parse_args()))
