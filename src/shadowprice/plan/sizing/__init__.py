"""How many workers: `plan` finds the least number, `table` shows it, `dump` makes JSON of it."""

from shadowprice.plan.sizing.dump import plan_to_json
from shadowprice.plan.sizing.table import plan_table

__all__ = ["plan_table", "plan_to_json"]
