"""KServe's V1 and V2: from a request to images, from probabilities to an answer, the limits, the clients' half."""
