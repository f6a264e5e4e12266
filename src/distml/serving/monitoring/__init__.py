"""The metrics that Prometheus collects, the log, and the window of requests in which drift is looked for."""
