"""The predictor: admission, batching, the front doors of HTTP and of gRPC, which version answers, metrics, start and
end.
"""
