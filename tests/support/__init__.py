"""Helpers that several tests share: the project's folders, pages and scripts, a running predictor, requests, images."""
