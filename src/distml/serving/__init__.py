"""The predictor: HTTP and gRPC front doors, the page, admission control, batching, version switch, metrics, logs."""
