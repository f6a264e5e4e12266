"""The smoke test of a service: wait until it serves one published version, then check a prediction.

The test asks the service itself, because the status that KServe reports can be stale after an update.
"""

import argparse
import http.client
import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, NoReturn

from PIL import Image

from distml.model import manifest
from distml.protocol import client
from distml.step import outcome
from distml.step.progress_bar import say, working
from distml.step.volume import Volume

CLASSES = 10
# Each request may reach another replica, and every replica must serve the version.
ANSWERS_IN_A_ROW = 5
# What reading an answer of the wrong form raises.
INVALID = (OSError, ValueError, LookupError, TypeError, ArithmeticError, StopIteration)


class RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect, because another server's answer says nothing about the asked one."""

    def redirect_request(self, *arguments: Any) -> NoReturn:
        raise OSError(f"a redirect to {arguments[-1]}")


# The service is inside the cluster; a proxy set in the environment is for requests to hosts outside.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}), RefuseRedirects)


class ErrorStatus(OSError):
    """An answer with an error status."""

    def __init__(self, status: int, text: str):
        super().__init__(f"status {status}: {text}")
        self.status = status


class NotServed(outcome.StepError):
    """The service does not serve the version in time; a retry may succeed."""

    exit_status = 1


@dataclass(frozen=True)
class Served:
    """The version that answers, and its digest if the runtime reports one (TensorFlow Serving does not)."""

    version: str
    digest: str | None

    def matches(self, version: int, digest: str) -> bool:
        return self.digest == digest if self.digest else self.version == str(version)

    def __str__(self) -> str:
        return f"version {self.version}, {f'digest {self.digest[:12]}' if self.digest else 'digest not reported'}"


def check_service(volume: Volume, version: int, url: str, model: str, seconds: float) -> None:
    """Wait until the service at `url` serves the version, then check its prediction for an image.

    Args:
        volume: the volume with the published version.
        version: number of the published version.
        url: URL of the service, without a path.
        model: the model's name, for a service that lists none.
        seconds: how long to wait for the version.

    Raises:
        StepError: the published version is missing or damaged.
        NotServed: the service does not serve the version in time, or its prediction is not valid.
    """
    started = time.monotonic()
    digest = manifest.verified(volume.version(version))["digest"]
    with working(f"waiting until {url} serves version {version}"):
        model, last = wait_until_served(url, model, version, digest, seconds)
    check_prediction(url, model)
    say(f"{url} serves {last}, after {time.monotonic() - started:.0f} s")


def wait_until_served(url: str, model: str, version: int, digest: str, seconds: float) -> tuple[str, str]:
    """Ask until the version answers `ANSWERS_IN_A_ROW` times in a row; return the model's name and the last answer.

    Raises:
        NotServed: the version does not answer within `seconds`.
    """
    started = time.monotonic()
    in_a_row, last = 0, "nothing"
    while in_a_row < ANSWERS_IN_A_ROW:
        try:
            name = named_model(url, model)
            served = ask_version(url, name)
            last = str(served)
            in_a_row = in_a_row + 1 if served.matches(version, digest) else 0
        except INVALID as error:
            in_a_row, last = 0, f"an error ({describe(error)})"
        if not in_a_row:
            if time.monotonic() - started > seconds:
                raise NotServed(
                    f"{url} does not serve version {version}, digest {digest[:12]}, after {seconds} s; its last answer:"
                    f" {last}; run kubectl describe inferenceservice"
                )
            time.sleep(1)
    return name, last


def named_model(url: str, model: str) -> str:
    """Return the model that the service lists, or `model` if the service lists none, as TensorFlow Serving does."""
    try:
        (listed,) = fetch_object(f"{url}/v1/models")["models"]
    except INVALID:
        return model
    return str(listed)


def ask_version(url: str, model: str) -> Served:
    """Return the version that the service serves.

    Raises:
        INVALID: the service's answer is missing or unusable.
    """
    status = fetch_object(f"{url}/v1/models/{model}")
    if "ready" not in status:  # TensorFlow Serving, which names only versions
        versions = status["model_version_status"]
        return Served(next(entry["version"] for entry in versions if entry["state"] == "AVAILABLE"), None)
    info = re.search(r"^predictor_model_info\{(.*)\} 1", fetch(f"{url}/metrics").decode(), re.MULTILINE)
    if not info:
        raise ValueError("predictor_model_info is missing in /metrics")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', info[1]))
    return Served(labels["version"], labels["digest"])


def check_prediction(url: str, model: str, version: int | None = None) -> None:
    """Send an image with the V1 protocol, which every runtime accepts, and check the form of the answer.

    With `version`, check that the answer names this version, if the runtime names one; TensorFlow Serving does not.

    Raises:
        NotServed: there is no answer, or it is not valid.
    """
    file = io.BytesIO()
    Image.new("L", (28, 28), 128).save(file, "PNG")
    request = json.dumps(client.v1_request([file.getvalue()])).encode()
    try:
        answer = fetch_object(f"{url}/v1/models/{model}:predict", request)
        if version and answer.get("model_version", str(version)) != str(version):
            raise ValueError(f"version {answer['model_version']} answered, not {version}")
        (prediction,) = answer["predictions"]
        # TensorFlow Serving omits the output's name if the model has only one output.
        probabilities = prediction["probabilities"] if isinstance(prediction, dict) else prediction
        if len(probabilities) != CLASSES or not abs(sum(probabilities) - 1) <= 1e-3:  # NaN compares as false
            raise ValueError(f"{probabilities} are not {CLASSES} probabilities")
    except INVALID as error:
        raise NotServed(f"{url} does not answer with a valid prediction: {describe(error)}") from error


def describe(error: Exception) -> str:
    """Return what was wrong with an answer; the message of a KeyError or TypeError alone would not say."""
    if isinstance(error, OSError | ValueError | NotServed):
        return str(error) or type(error).__name__
    return f"an unknown form ({error!r})"


def fetch_object(url: str, body: bytes | None = None) -> dict[str, Any]:
    """Send a request as `fetch` does, and return the JSON object in the answer.

    Raises:
        OSError: there is no answer.
        ValueError: the answer is not a JSON object.
    """
    content = fetch(url, body)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{content[:80].decode(errors='replace')!r} is not a JSON object")
    return found


def fetch(url: str, body: bytes | None = None) -> bytes:
    """Send a GET, or a POST with `body`, and return the body of the answer.

    Raises:
        OSError: the service does not answer.
        ErrorStatus: the service answers with an error status.
    """
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        try:
            with DIRECTLY.open(request, timeout=20) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            raise ErrorStatus(error.code, error.read(200).decode(errors="replace")) from None
    except http.client.HTTPException as error:
        raise OSError(f"the answer is not HTTP: {error!r}") from None


def service_url(text: str) -> str:
    """Parse the URL of a service, such as `http://localhost:8080` or `http://[::1]:8080` (argparse type)."""
    try:
        parts = urllib.parse.urlsplit(text)
        valid = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        valid = valid and parts.path in ("", "/") and not (parts.query or parts.fragment)
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the URL of a service; expected one without a path, such as http://host:8080 or"
            " http://[::1]:8080"
        )
    return text.rstrip("/")
