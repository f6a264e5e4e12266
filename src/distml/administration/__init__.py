"""What a workflow and an administrator need besides the four steps: checks, the end of training, releases."""
