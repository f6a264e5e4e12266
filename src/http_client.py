"""Ask a predictor to classify image files, over HTTP with KServe's V1 protocol.

    python src/http_client.py --host localhost --port 8080 shoe.png shirt.jpg

Behind an ingress, `--service-hostname` is the InferenceService's host name.
"""

import argparse
import http.client
import json
from pathlib import Path
from typing import Any

from distml.protocol import client
from distml.step import network, outcome


def main(args: argparse.Namespace) -> None:
    files = [client.read_file(path) for path in args.images]
    answer = ask(args, client.v1_request(files))
    try:
        print(prediction_text(args.images, answer))
    except (LookupError, TypeError, ValueError):
        raise client.no_prediction(args) from None


def prediction_text(images: list[Path], answer: Any) -> str:
    """Return a table of the predictions.

    Raises:
        LookupError, TypeError, ValueError: `answer` is not a prediction for `images`.
    """
    predictions = zip(images, answer["predictions"], strict=True)
    rows = [(path, prediction["class_name"], max(prediction["probabilities"])) for path, prediction in predictions]
    return client.prediction_table(answer["model_name"], answer["model_version"], rows)


def ask(args: argparse.Namespace, request: dict[str, Any]) -> Any:
    """Send a V1 request; return the parsed JSON of the answer.

    Raises:
        StepError: no server answers, the server refuses (the message has its reason), or the answer is not JSON.
    """
    place = network.format_address(args.host, args.port)
    headers = {"Content-Type": "application/json", "Host": args.service_hostname or place}
    connection = http.client.HTTPConnection(args.host, args.port, timeout=client.TIMEOUT)
    try:
        connection.request("POST", f"/v1/models/{args.model_name}:predict", json.dumps(request).encode(), headers)
        response = connection.getresponse()
        content = response.read()
    except http.client.HTTPException:
        raise outcome.StepError(f"{place} answered, but not in HTTP; {client.REMEDY}") from None
    except OSError as error:
        raise client.NoAnswer(f"no answer from {place} ({error}); {client.REMEDY}") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        error_class = client.NoAnswer if response.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else outcome.StepError
        raise error_class(f"{place} answered {response.status}: {client.refusal_sentence(content)}")
    try:
        return json.loads(content)
    except ValueError:
        raise outcome.StepError(f"{place} answered something that is not JSON; {client.REMEDY}") from None


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return client.argument_parser(__doc__.splitlines()[0], 8080).parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
