"""Fashion-MNIST: its sources, download and preparation, and each worker's share of a batch."""
