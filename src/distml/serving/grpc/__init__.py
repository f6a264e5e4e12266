"""What stands between a gRPC request, as KServe parsed it, and the predictor."""
