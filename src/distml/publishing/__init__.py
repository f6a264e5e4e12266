"""From candidates to a published version: quality gate, version numbers, conversion, scores, report, smoke test."""
