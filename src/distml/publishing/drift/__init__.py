"""Drift: how far the images that a service gets are from those that its model was published with."""
