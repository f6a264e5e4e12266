"""The clients' half of the protocols: the V1 request, the presentation of answers, and the clients' shared options.

Only the standard library is imported, since the HTTP client runs without installed packages.
"""

import argparse
import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distml.protocol.contract import FILES, MODEL_NAME
from distml.step import command_line, network, outcome
from distml.step.text_table import table

# Seconds to wait for an answer.
TIMEOUT = 30
REMEDY = "start `make serve`, or correct --host and --port"


class NoAnswer(outcome.StepError):
    """The server cannot be reached, is overloaded or has failed; a retry may succeed."""

    exit_status = 1


def v1_request(files: list[bytes]) -> dict[str, Any]:
    """Return a V1 request with the contents of PNG or JPEG files, in a form that TensorFlow Serving also accepts."""
    return {"instances": [{FILES: {"b64": base64.b64encode(file).decode()}} for file in files]}


def refusal_sentence(content: bytes) -> str:
    """Return the reason in the body of a refusal from a predictor or from a proxy in front of it."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:300].strip()


def prediction_table(model: str, version: str, predictions: Iterable[tuple[Path, str, float]]) -> str:
    """Format each image's path, class and probability below the name of the model that answered."""
    rows = [("image", "class", "probability")]
    rows += [(str(path), name, f"{probability:.1%}") for path, name, probability in predictions]
    return f"{model}, version {version}\n\n{table(rows)}"


def no_prediction(args: argparse.Namespace) -> outcome.StepError:
    """Return the error for an answer that is not a prediction."""
    place = network.format_address(args.host, args.port)
    return outcome.StepError(f"{place} answered something that is not a prediction for these images; {REMEDY}")


def read_file(path: Path) -> bytes:
    """Read an image file.

    Raises:
        StepError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise outcome.StepError(f"cannot read {path}: {error.strerror}; expected a PNG or JPEG file") from None


def argument_parser(description: str, port: int) -> command_line.Parser:
    """Return a parser with the arguments that both clients share."""
    parser = command_line.Parser(description)
    parser.add_argument("images", nargs="+", type=Path, metavar="image", help="PNG or JPEG file")
    parser.add_argument("--host", type=host, default="localhost", help="host of the predictor or the ingress")
    parser.add_argument("--port", type=command_line.port, default=port, help="port on that host")
    parser.add_argument(
        "--model-name", type=model_name, default=MODEL_NAME, help="name of the model, which is that of its service"
    )
    parser.add_argument(
        "--service-hostname", type=host_name, help="host name of the InferenceService, if behind an ingress"
    )
    return parser


def model_name(text: str) -> str:
    """Accept a name that an InferenceService may have (argparse type)."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a model's name; expected letters, digits and, between them, dots, hyphens or underscores"
        )
    return text


def host_name(text: str) -> str:
    """Accept a host name, with or without a port, as in a Host header (argparse type)."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name")
    return text


def host(text: str) -> str:
    """Accept a name or an address, and strip the brackets of an IPv6 address (argparse type)."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
