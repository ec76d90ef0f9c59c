"""How a plan says what it is doing."""

from collections.abc import Callable

Tell = Callable[[str], None]  # is told what is being done
Tick = Callable[[int, int], None]  # is told how many are done, of how many
