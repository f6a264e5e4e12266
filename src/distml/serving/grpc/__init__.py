"""The gRPC side of the predictor: the model that KServe's server registers."""
