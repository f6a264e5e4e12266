"""What several tests use: the project's folders and scripts, a running predictor, what this machine has."""
