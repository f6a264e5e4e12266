"""Basics of every script: command line, volume, atomic writes, exit statuses, progress, addresses, TensorFlow."""
