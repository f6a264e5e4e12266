"""What stands between a client's HTTP connection and the predictor."""
