"""The names of the models that can be trained, kept apart from their builders because loading Keras takes seconds.

`variants.MODELS` maps each name to its builder; a test compares the two.
"""

import argparse

MODELS = ("plain", "dropout", "batchnorm")


def models(text: str) -> list[str]:
    """Parse model names separated by commas or spaces, dropping repeated ones (argparse type)."""
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    unknown = sorted(set(names) - set(MODELS))
    if unknown or not names:
        problem = f"unknown model {', '.join(unknown)}" if unknown else "no model given"
        raise argparse.ArgumentTypeError(f"{problem}; choose from {', '.join(MODELS)}")
    return names
