"""Clients' and workers' connections: protocols, heads and bodies as bytes, nothing of what they mean."""
