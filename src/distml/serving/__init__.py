"""The predictor: HTTP and gRPC front doors, the page, admission control, batching, the version switch, metrics and logs."""
