"""How many workers: the stability certificate, what binds and what more of it would be worth (docs/capacity.md)."""

from shadowprice.capacity.prices import Price, prices
from shadowprice.capacity.stability import Stability, in_words, stability

__all__ = ["Price", "Stability", "in_words", "prices", "stability"]
