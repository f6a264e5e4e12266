"""Hostile requests to a predictor, in bounded number and time: `make test-hostile`."""
