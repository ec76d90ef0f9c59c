"""Policies made of queues: SIEVE, S3-FIFO, ARC and W-TinyLFU, access for access as the public libcachesim."""
