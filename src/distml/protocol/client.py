"""The clients' half of the protocols: a V1 request, what an answer says, and the options that the clients share.

The standard library alone: the HTTP client, and the step that asks a service, need Python and nothing else.
"""

import argparse
import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distml.protocol.contract import FILES
from distml.step import command_line, network, outcome
from distml.step.text_table import table

# Seconds until an answer must have come.
TIMEOUT = 30
REMEDY = "start `make serve`, or correct --host and --port"


class NoAnswer(outcome.StepError):
    """The server is not there, or has no room now: asking again may help."""

    exit_status = 1


def v1_request(files: list[bytes]) -> dict[str, Any]:
    """Make a V1 request of the contents of PNG or JPEG files, in the form that TensorFlow Serving takes too."""
    return {"instances": [{FILES: {"b64": base64.b64encode(file).decode()}} for file in files]}


def refusal_sentence(content: bytes) -> str:
    """Return what a predictor, or a proxy before it, says in the body of its refusal."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:300].strip()


def prediction_table(model: str, version: str, predictions: Iterable[tuple[Path, str, float]]) -> str:
    """Lay out each image's file, class and probability below the model that answered."""
    rows = [("image", "class", "probability")]
    rows += [(str(path), name, f"{probability:.1%}") for path, name, probability in predictions]
    return f"{model}, version {version}\n\n{table(rows)}"


def no_prediction(args: argparse.Namespace) -> outcome.StepError:
    """Return the error of an answer that is something else."""
    place = network.place(args.host, args.port)
    return outcome.StepError(f"what {place} answers is no prediction of such images; {REMEDY}")


def read_file(path: Path) -> bytes:
    """Read an image file.

    Raises:
        StepError: there is no such file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise outcome.StepError(f"cannot read {path}: {error.strerror}; expected a PNG or JPEG file") from None


def argument_parser(description: str, port: int) -> command_line.Parser:
    """Return a parser of what both clients take."""
    parser = command_line.Parser(description)
    parser.add_argument("images", nargs="+", type=Path, metavar="image", help="PNG or JPEG file")
    parser.add_argument("--host", type=host, default="localhost", help="where the predictor, or the ingress, listens")
    parser.add_argument("--port", type=command_line.port, default=port, help="its port")
    parser.add_argument(
        "--service-hostname", type=host_name, help="the host name of the InferenceService, behind an ingress"
    )
    return parser


def host_name(text: str) -> str:
    """An argparse type: what can stand in a Host header."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name")
    return text


def host(text: str) -> str:
    """An argparse type: a name or an address; an IPv6 address may stand in brackets."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
