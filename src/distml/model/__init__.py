"""The three CNNs, image files to pixels, the SavedModel and its manifest."""
