"""From candidates to a published version: quality gate, version numbers, conversion for serving, scores, report,
smoke test.
"""
