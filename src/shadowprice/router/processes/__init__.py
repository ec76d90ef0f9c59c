"""Several processes of one router on one port."""
