"""Tasks of a workflow and of an administrator besides the four steps: checks, the end of training, releases."""
