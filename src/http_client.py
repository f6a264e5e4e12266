"""Ask a predictor about image files over HTTP, by KServe's V1 protocol.

    python src/http_client.py --host localhost --port 8080 shoe.png shirt.jpg

Behind an ingress, `--service-hostname` is the host name that the InferenceService has there.
"""

import argparse
import base64
import http.client
import json
import re
from pathlib import Path
from typing import Any

from distml.step import command_line, network, outcome
from distml.step.text_table import table

MODEL = "flower-sample"
TIMEOUT = 30
REMEDY = "start `make serve`, or correct --host and --port"


def main(args: argparse.Namespace) -> None:
    files = [read_file(path) for path in args.images]
    answer = ask(args, request_body(files))
    try:
        print(described(args.images, answer))
    except (LookupError, TypeError, ValueError):
        raise outcome.StepError(no_prediction(args)) from None


def no_prediction(args: argparse.Namespace) -> str:
    return f"what {network.place(args.host, args.port)} answers is no prediction of such images; {REMEDY}"


def described(images: list[Path], answer: Any) -> str:
    """A table of the predictions; raises LookupError, TypeError or ValueError where `answer` is something else."""
    rows = [("image", "class", "probability")]
    for path, prediction in zip(images, answer["predictions"], strict=True):
        rows.append((str(path), prediction["class_name"], f"{max(prediction['probabilities']):.1%}"))
    return f"{answer['model_name']}, version {answer['model_version']}\n\n{table(rows)}"


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise outcome.StepError(f"cannot read {path}: {error.strerror}; expected a PNG or JPEG file") from None


def request_body(files: list[bytes]) -> bytes:
    """The contents of PNG or JPEG files as a V1 request, in the form that TensorFlow Serving takes too."""
    instances = [{"image_bytes": {"b64": base64.b64encode(file).decode()}} for file in files]
    return json.dumps({"instances": instances}).encode()


def ask(args: argparse.Namespace, body: bytes) -> Any:
    """Send a V1 request; returns the answer's document.

    Raises:
        StepError: nobody answers, the server refuses, with its sentence, or its answer is no document.
    """
    place = network.place(args.host, args.port)
    headers = {"Content-Type": "application/json", "Host": args.service_hostname or place}
    connection = http.client.HTTPConnection(args.host, args.port, timeout=TIMEOUT)
    try:
        connection.request("POST", f"/v1/models/{MODEL}:predict", body, headers)
        response = connection.getresponse()
        content = response.read()
    except http.client.HTTPException:
        raise outcome.StepError(f"{place} answers, but not by HTTP; {REMEDY}") from None
    except OSError as error:
        raise outcome.StepError(f"no answer from {place} ({error}); {REMEDY}") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise outcome.StepError(f"{place} answered {response.status}: {sentence(content)}")
    try:
        return json.loads(content)
    except ValueError:
        raise outcome.StepError(f"{place} answered something that is not JSON; {REMEDY}") from None


def sentence(refusal: bytes) -> str:
    """What a predictor, or a proxy before it, says in its refusal."""
    try:
        return str(json.loads(refusal)["error"])
    except (ValueError, KeyError, TypeError):
        return refusal.decode(errors="replace")[:300].strip()


def host_name(text: str) -> str:
    """An argparse type: what can stand in a Host header."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name")
    return text


def host(text: str) -> str:
    """An argparse type: a name or an address; an IPv6 address may stand in brackets."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def argument_parser(description: str, port: int) -> command_line.Parser:
    """What both clients take."""
    parser = command_line.Parser(description)
    parser.add_argument("images", nargs="+", type=Path, metavar="image", help="PNG or JPEG file")
    parser.add_argument("--host", type=host, default="localhost", help="where the predictor, or the ingress, listens")
    parser.add_argument("--port", type=command_line.port, default=port, help="its port")
    parser.add_argument(
        "--service-hostname", type=host_name, help="the host name of the InferenceService, behind an ingress"
    )
    return parser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return argument_parser(__doc__.splitlines()[0], 8080).parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
