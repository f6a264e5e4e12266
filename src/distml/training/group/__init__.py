"""The worker group: its description, joining it and leaving it, its launcher on a laptop, its TFJobs on a cluster."""
