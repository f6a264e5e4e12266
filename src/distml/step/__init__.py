"""What makes a script a step of the pipeline: arguments, the volume, progress, and how it ends."""
