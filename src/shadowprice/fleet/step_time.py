"""The standard model of how long one forward pass takes."""

import math
from dataclasses import asdict, dataclass

from shadowprice.errors import FleetError


@dataclass(frozen=True)
class StepTime:
    """How long one forward pass takes: fixed_s + per_sequence_s*B + per_kv_token_s*KV + per_prefill_token_s*P.

    B sequences decode one token each in the step, KV is the number of tokens they attend to (each one's context
    including the token it computes), P is the number of tokens of prompts (or of recomputed context) prefilled.
    None is negative and `fixed_s` is positive: every step takes time.

    Parameters
    ----------
    fixed_s : float
        Of every step [s]; c in the papers.
    per_sequence_s : float
        Of each decoding sequence [s]; a.
    per_kv_token_s : float
        Of each KV token that is read [s]; b.
    per_prefill_token_s : float
        Of each prompt token that is computed [s]; e.

    Raises
    ------
    FleetError
        When a coefficient is negative, not finite, or `fixed_s` is zero.
    """

    fixed_s: float
    per_sequence_s: float
    per_kv_token_s: float
    per_prefill_token_s: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise FleetError(f"step_time.{name} is {value}; expected a finite number >= 0")
        if self.fixed_s == 0:
            raise FleetError("step_time.fixed_s is 0; expected a number > 0, since every step takes time")

    def seconds(self, sequences: float, kv_tokens: float, prefill_tokens: float) -> float:
        """Duration of one step [s]."""
        return (
            self.fixed_s
            + self.per_sequence_s * sequences
            + self.per_kv_token_s * kv_tokens
            + self.per_prefill_token_s * prefill_tokens
        )
