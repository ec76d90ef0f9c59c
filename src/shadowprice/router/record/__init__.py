"""What is kept of requests that are over: the record, the access log, counters, spans."""
