"""Policies made of queues: SIEVE, S3-FIFO, ARC and W-TinyLFU, compiled, access for access as their public simulators."""
