"""The plan: how many GPUs a trace needs to be stable and on time, and what would change that (docs/capacity.md)."""
