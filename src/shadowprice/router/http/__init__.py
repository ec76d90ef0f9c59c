"""Clients' and workers' connections: protocols, heads and bodies as bytes, nothing of what they mean."""

from shadowprice.extras import needs

needs("router")
