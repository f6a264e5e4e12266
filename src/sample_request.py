"""Print a V1 request with one image of the test split as a PNG file.

This command made inference-input.json:

    python src/sample_request.py --volume ./trained_model > inference-input.json
"""

import argparse
import json

from distml.data import fashion_mnist, input_pipeline
from distml.model import image_decoding
from distml.protocol import client
from distml.step import command_line, outcome


def main(args: argparse.Namespace) -> None:
    fashion_mnist.verified_manifest(args.volume)
    image = input_pipeline.load(args.volume, "test").images[args.index]
    print(json.dumps(client.v1_request([image_decoding.png(image)])))


def index(text: str) -> int:
    """Parse the index of one of the 10,000 test images (argparse type)."""
    return command_line.integer(text, 0, 9_999)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--index", type=index, default=0, help="index of the image in the test split")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
