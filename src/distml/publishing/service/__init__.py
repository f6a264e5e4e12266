"""The check of a service that serves the published versions."""
