"""Collective training: the worker and its peers, the training step with its all-reduce, optimizer, checkpoints, run
identity, TFJobs.
"""
