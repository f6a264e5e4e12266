"""Helpers of several tests: the project's folders, pages and scripts, a running predictor, requests, images."""
