"""Which published version answers."""
