"""The predictor: what answers requests with a published version."""
