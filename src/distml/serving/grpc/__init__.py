"""The gRPC side of the predictor: the server, its front door, metadata and health."""
