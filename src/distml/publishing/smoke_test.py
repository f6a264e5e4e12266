"""The question whether a service serves one published version: its manifest says which, the service answers.

The service itself is asked: what KServe says of a model can be stale after an update.
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

from PIL import Image

from distml.model import manifest
from distml.protocol import client
from distml.step import outcome
from distml.step.progress_bar import say, working
from distml.step.volume import Volume

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
    """The version that answers, and its digest where the runtime knows one (TensorFlow Serving does not)."""

    version: str
    digest: str | None

    def matches(self, version: int, digest: str) -> bool:
        return self.digest == digest if self.digest else self.version == str(version)

    def __str__(self) -> str:
        return f"version {self.version}, {f'digest {self.digest[:12]}' if self.digest else 'digest not told'}"


def check_service(volume: Volume, version: int, url: str, model: str, seconds: float) -> None:
    """Ask the service at `url` until it serves the version, then ask it about an image.

    Args:
        volume: holds the published version.
        version: its number.
        url: of the service, without a path.
        model: the model's name where the service lists none.
        seconds: that the service has to serve the version.

    Raises:
        StepError: the published version is damaged, or not there.
        NotServed: the service does not serve it in time, or answers no prediction.
    """
    started = time.monotonic()
    digest = manifest.verified(volume.version(version))["digest"]
    with working(f"waiting until {url} serves version {version}"):
        model, last = wait_until_served(url, model, version, digest, seconds)
    check_prediction(url, model)
    say(f"{url} serves {last}, after {time.monotonic() - started:.0f} s")


def wait_until_served(url: str, model: str, version: int, digest: str, seconds: float) -> tuple[str, str]:
    """Ask until the version has answered several times in a row; returns the model's name and the last answer.

    Raises:
        NotServed: it did not within `seconds`.
    """
    started = time.monotonic()
    in_a_row, last = 0, "nothing"
    while in_a_row < ANSWERS_IN_A_ROW:
        try:
            name = named_model(url, model)
            served = ask_version(url, name)
            last = str(served)
            in_a_row = in_a_row + 1 if served.matches(version, digest) else 0
        except (OSError, ValueError, KeyError, StopIteration) as error:
            in_a_row, last = 0, f"an error ({error or type(error).__name__})"
        if not in_a_row:
            if time.monotonic() - started > seconds:
                raise NotServed(
                    f"{url} does not serve version {version}, digest {digest[:12]}, after {seconds} s; its last answer:"
                    f" {last}; see kubectl describe inferenceservice"
                )
            time.sleep(1)
    return name, last


def named_model(url: str, model: str) -> str:
    """Return the model that the service lists, as ours does; `model` where it lists none, as TensorFlow Serving."""
    try:
        (listed,) = json.loads(fetch(f"{url}/v1/models"))["models"]
    except (OSError, ValueError, KeyError, TypeError):
        return model
    return listed


def ask_version(url: str, model: str) -> Served:
    """Ask which version the service serves.

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
    request = json.dumps(client.v1_request([file.getvalue()])).encode()
    try:
        answer = json.loads(fetch(f"{url}/v1/models/{model}:predict", request))
        (prediction,) = answer["predictions"]
        # TensorFlow Serving leaves out the name where there is one output only.
        probabilities = prediction["probabilities"] if isinstance(prediction, dict) else prediction
        if len(probabilities) != CLASSES or abs(sum(probabilities) - 1) > 1e-3:
            raise ValueError(f"{probabilities} are not {CLASSES} probabilities")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotServed(f"{url} does not answer a prediction as it should: {error}") from error


def fetch(url: str, body: bytes | None = None) -> bytes:
    """Send a GET, or a POST with `body`; returns the body of the answer.

    Raises:
        OSError: there is no answer, or one with an error's status.
    """
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with DIRECTLY.open(request, timeout=20) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        raise OSError(f"status {error.code}: {error.read(200).decode(errors='replace')}") from None
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP ({error!r})") from None


def service_url(text: str) -> str:
    """An argparse type: the address of a service, such as `http://localhost:8080` or `http://[::1]:8080`."""
    try:
        parts = urllib.parse.urlsplit(text)
        named = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        named = named and parts.path in ("", "/") and not (parts.query or parts.fragment)
    except ValueError:
        named = False
    if not named:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no URL of a service without a path; expected http://host or http://[::1]:8080"
        )
    return text.rstrip("/")
