"""A look at the images that a version got: what a predictor tells about itself, and what the check tells of all."""

from dataclasses import dataclass
from typing import Any

from distml.publishing.drift.distance import FeatureDrift, compare
from distml.publishing.drift.features import DRIFT_REFERENCE, Counts

# The features have drifted if a corrected p-value is below.
ALPHA = 0.01
FEWEST_BLOCKS = 5


@dataclass(frozen=True)
class Look:
    """A window of images beside the reference of the version that classified them.

    Attributes:
        version: number of the version.
        digest: digest of the version.
        reference: counts of its validation images; None if the version has none.
        window: counts of the newest images.
        blocks: number of blocks of images that were completed since the version answers.
        replicas: number of the replicas whose windows were added.
        features: the drift of each feature; empty without a reference, and if there are too few images yet.
        drifted: whether a feature has drifted.
        text: one sentence about all this.
    """

    version: int
    digest: str
    reference: Counts | None
    window: Counts
    blocks: int
    replicas: int
    features: list[FeatureDrift]
    drifted: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return the answer of a predictor."""
        features = {each.feature: {"distance": each.distance, "p_value": each.p_value} for each in self.features}
        return {
            "version": str(self.version),
            "digest": self.digest,
            "blocks": self.blocks,
            "images": self.window.images,
            "reference": self.reference.to_json() if self.reference else None,
            "window": self.window.to_json(),
            "features": features,
            "drifted": self.drifted,
            "text": self.text,
        }


def look(
    version: int,
    digest: str,
    reference: Counts | None,
    window: Counts,
    blocks: int,
    replicas: int = 1,
    tests: int = 1,
) -> Look:
    """Compare a window with the reference; see `Look` for the arguments, and `compare` for `tests`."""
    features: list[FeatureDrift] = []
    drifted = False
    if reference is None:
        text = f"version {version} has no {DRIFT_REFERENCE} with this release's bins in its manifest; publish again"
    elif blocks < FEWEST_BLOCKS:
        text = f"too few images for version {version} yet: {blocks} of at least {FEWEST_BLOCKS} blocks are complete"
    else:
        features = compare(reference, window, blocks, tests)
        drifted = any(each.p_value < ALPHA for each in features)
        figures = ", ".join(f"{each.feature} {each.distance:.2f} (p {p_text(each.p_value)})" for each in features)
        images, origin = f"the last {window.images:,} images", f"from the validation images of version {version}"
        text = f"{images} have drifted {origin}" if drifted else f"no drift {origin} in {images}"
        text += f": {figures}"
    return Look(version, digest, reference, window, blocks, replicas, features, drifted, text)


def p_text(p_value: float) -> str:
    """Write a p-value in a few characters."""
    return "below 1e-99" if p_value < 1e-99 else f"{p_value:.2g}"
