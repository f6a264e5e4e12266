"""Collective training: workers and peers, the training step, optimizer, checkpoints, run identity, TFJobs."""
