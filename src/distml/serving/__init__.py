"""The predictor: HTTP and gRPC front doors, admission control, batching, the version switch, metrics and logs."""
