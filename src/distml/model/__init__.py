"""The three CNNs, image decoding, the SavedModel and its manifest, the LiteRT engine."""
