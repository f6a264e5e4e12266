"""The worker group: TF_CONFIG, joining it and leaving it, its launcher on a laptop, its TFJobs on a cluster."""
