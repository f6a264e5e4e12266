"""From the candidates of a run to a published version and a report."""
