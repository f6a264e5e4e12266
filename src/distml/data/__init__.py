"""Fashion-MNIST, from its source to batches on each worker."""
