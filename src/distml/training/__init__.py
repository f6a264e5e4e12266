"""Collective training: the worker group, its steps, and its checkpoints."""
