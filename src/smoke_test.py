"""Ask an inference service until it serves one published version, then ask it about an image.

    python3 /smoke-test.py --url http://flower-sample-predictor --volume /trained_model --version 3

It asks the service itself: what KServe says of a model can be stale after an update.
"""

import argparse
import base64
import http.client
import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from PIL import Image

from distml.model import manifest
from distml.step import command_line, outcome
from distml.step.progress_bar import say, working

CLASSES = 10
# Each of several replicas must have the version; each question may reach another one.
ANSWERS_IN_A_ROW = 5
# The service is in the cluster; a proxy of the environment is for what lies outside.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotServed(outcome.StepError):
    """The service does not serve the version in time; asking again may help."""

    exit_status = 1


@dataclass(frozen=True)
class Served:
    """What answers: a version, and its digest where the runtime knows one (TensorFlow Serving does not)."""

    version: str
    digest: str | None

    def is_the(self, version: int, digest: str) -> bool:
        return self.digest == digest if self.digest else self.version == str(version)

    def __str__(self) -> str:
        return f"version {self.version}, {f'digest {self.digest[:12]}' if self.digest else 'digest not told'}"


def main(args: argparse.Namespace) -> None:
    started = time.monotonic()
    digest = manifest.verified(args.volume.version(args.version))["digest"]
    with working(f"waiting until {args.url} serves version {args.version}"):
        model, last = wait_until_served(args, digest)
    check_prediction(args.url, model)
    say(f"{args.url} serves {last}, after {time.monotonic() - started:.0f} s")


def wait_until_served(args: argparse.Namespace, digest: str) -> tuple[str, str]:
    """Ask until the version has answered several times in a row; returns the model's name and the last answer.

    Raises:
        NotServed: it did not within `args.timeout` seconds.
    """
    started = time.monotonic()
    in_a_row, last = 0, "nothing"
    while in_a_row < ANSWERS_IN_A_ROW:
        try:
            model = named_model(args.url, args.model)
            served = ask_version(args.url, model)
            last = str(served)
            in_a_row = in_a_row + 1 if served.is_the(args.version, digest) else 0
        except (OSError, ValueError, KeyError, StopIteration) as error:
            in_a_row, last = 0, f"an error ({error or type(error).__name__})"
        if not in_a_row:
            if time.monotonic() - started > args.timeout:
                raise NotServed(
                    f"{args.url} does not serve version {args.version}, digest {digest[:12]}, after"
                    f" {args.timeout} s; its last answer: {last}; see kubectl describe inferenceservice"
                )
            time.sleep(1)
    return model, last


def named_model(url: str, model: str) -> str:
    """The model that the service lists, as ours does; `model` where it lists none, as TensorFlow Serving."""
    try:
        (listed,) = json.loads(fetch(f"{url}/v1/models"))["models"]
    except (OSError, ValueError, KeyError, TypeError):
        return model
    return listed


def ask_version(url: str, model: str) -> Served:
    """What the service serves.

    Raises:
        OSError, ValueError, KeyError, StopIteration: it gave no usable answer.
    """
    status = json.loads(fetch(f"{url}/v1/models/{model}"))
    if "model_version_status" in status:  # TensorFlow Serving
        versions = status["model_version_status"]
        return Served(next(one["version"] for one in versions if one["state"] == "AVAILABLE"), None)
    info = re.search(r"^predictor_model_info\{(.*)\} 1", fetch(f"{url}/metrics").decode(), re.MULTILINE)
    if not info:
        raise ValueError("no predictor_model_info in its metrics")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', info[1]))
    return Served(labels["version"], labels["digest"])


def check_prediction(url: str, model: str) -> None:
    """Send one image by the V1 protocol, as every runtime takes it, and look at the answer's shape."""
    file = io.BytesIO()
    Image.new("L", (28, 28), 128).save(file, "PNG")
    body = {"instances": [{"image_bytes": {"b64": base64.b64encode(file.getvalue()).decode()}}]}
    try:
        answer = json.loads(fetch(f"{url}/v1/models/{model}:predict", json.dumps(body).encode()))
        (prediction,) = answer["predictions"]
        # TensorFlow Serving leaves out the name where there is one output only.
        probabilities = prediction["probabilities"] if isinstance(prediction, dict) else prediction
        if len(probabilities) != CLASSES or abs(sum(probabilities) - 1) > 1e-3:
            raise ValueError(f"{probabilities} are not {CLASSES} probabilities")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotServed(f"{url} does not answer a prediction as it should: {error}") from error


def fetch(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with DIRECTLY.open(request, timeout=20) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        raise OSError(f"status {error.code}: {error.read(200).decode(errors='replace')}") from None
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP ({error!r})") from None


def service_url(text: str) -> str:
    """An argparse type: where a service is, such as `http://localhost:8080` or `http://[::1]:8080`."""
    try:
        parts = urllib.parse.urlsplit(text)
        named = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        named = False
    if not named:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL of a service; expected http://host or http://[::1]:8080")
    return text.rstrip("/")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--url", type=service_url, default="http://flower-sample-predictor", help="of the service, without a path"
    )
    parser.add_argument("--model", default="flower-sample", help="the model's name, if the service tells none")
    parser.add_argument("--version", type=command_line.positive, required=True, help="the published version's number")
    parser.add_argument("--timeout", type=command_line.positive, default=600, help="seconds until it must be served")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
