"""KServe's V1 and V2 protocols: requests to images, probabilities to answers, the limits, and the clients' half."""
