"""The HTTP side of the predictor: connections, routes, bodies, refusals, CORS, the front door, the OpenAPI page."""
