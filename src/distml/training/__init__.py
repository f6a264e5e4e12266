"""A worker and its wait for the others, the step with its all-reduce, the optimizer, checkpoints, what makes a run
another run, TFJobs.
"""
