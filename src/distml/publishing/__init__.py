"""From candidates to a released version: selection, quality gate, conversion, versions and their history, report, release of a service."""
