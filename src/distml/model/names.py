"""The names of the models that can be trained, apart from their builders: loading Keras takes seconds.

`variants.MODELS` has a builder for each; a test compares the two.
"""

import argparse

MODELS = ("plain", "dropout", "batchnorm")


def models(text: str) -> list[str]:
    """An argparse type: names of models, separated by commas or blanks, each once."""
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    unknown = sorted(set(names) - set(MODELS))
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"unknown model {', '.join(unknown) or '(none given)'}; choose from {', '.join(MODELS)}"
        )
    return names
