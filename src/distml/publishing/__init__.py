"""From candidates to a released version: selection, quality gate, versions and their history, report, release."""
