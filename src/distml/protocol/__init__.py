"""KServe's protocols: from the bytes of a request to images, from probabilities to an answer."""
