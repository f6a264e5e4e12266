"""The HTTP side of the predictor: connection limits, the front door, the OpenAPI page."""
