"""Fashion-MNIST: where it comes from, the download, and each worker's share of a batch."""
