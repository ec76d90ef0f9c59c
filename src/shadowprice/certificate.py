"""The one form in which every comparison ends."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Sense = Literal["cost", "gain"]


@dataclass(frozen=True)
class Certificate:
    """What a policy achieved against what no policy can beat, in one model.

    Parameters
    ----------
    decision : str
        "scheduling", "routing", "capacity", ...
    objective : str
        What `value` and `bound` measure.
    unit : str
        Their unit.
    sense : {"cost", "gain"}
        Whether less or more is better.
    policy : str
        Who decided.
    value : float
        What it achieved.
    bound : float or None
        What no policy can beat; None when none was proved for `model`, and then there is no gap.
    bound_method : str
        How the bound was obtained.
    model : str
        In which both hold.
    seconds : float
        That computing it took.
    load : float or None
        Arrival rate as a fraction of the stable rate, None where no such rate exists.
    advice : str
        What to do about it.
    """

    decision: str
    objective: str
    unit: str
    sense: Sense
    policy: str
    value: float
    bound: float | None
    bound_method: str
    model: str
    seconds: float
    load: float | None = None
    advice: str = ""

    @property
    def gap(self) -> float | None:
        """(value - bound) / bound for a cost, (bound - value) / bound for a gain; None without a usable bound."""
        if self.bound is None or self.bound == 0:
            return None
        difference = self.value - self.bound if self.sense == "cost" else self.bound - self.value
        return difference / self.bound

    def to_json(self) -> dict[str, Any]:
        """The certificate as plain JSON values, its gap included."""
        return asdict(self) | {"gap": self.gap}
