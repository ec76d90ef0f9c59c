"""Prefill and decode together or apart: `plan` compares, `table` shows it, `dump` makes JSON of it; `map`, `plot`."""

from shadowprice.plan.pools.dump import pools_to_json
from shadowprice.plan.pools.table import pools_table

__all__ = ["pools_table", "pools_to_json"]
