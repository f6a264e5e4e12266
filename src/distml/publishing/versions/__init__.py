"""The published versions: their numbers and files, and the conversion for the predictor."""
