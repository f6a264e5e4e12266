"""Candidates, the quality gate, versions and their numbers, the conversion for serving, scores and report."""
