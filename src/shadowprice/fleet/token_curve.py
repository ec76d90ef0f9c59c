"""What a sequence keeps, or a step reads of it, by its length, in KV tokens: the unit in which kv_tokens is counted."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray
from shadowprice.errors import FleetError
from shadowprice.fleet.formats import kv_bits
from shadowprice.fleet.models import Model


@dataclass(frozen=True)
class TokenCurve:
    """f(n) = constant + per_token * n + per_window_token * min(n, window) for n >= 1: concave, and never falling.

    Parameters
    ----------
    constant : float
        What a sequence takes whatever its length, its state [KV tokens].
    per_token : float
        For each token, in layers that look at all of them.
    per_window_token : float
        For each of the first `window` tokens, in layers that look at no more.
    window : int
        Tokens of the window; 0 where no layer has one.

    Raises
    ------
    FleetError
        When a number is negative or not finite.
    """

    constant: float = 0.0
    per_token: float = 1.0
    per_window_token: float = 0.0
    window: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e12:
                raise FleetError(f"{name} of a token curve is {value!r}; expected a number from 0 to 1e12")

    def of(self, tokens: npt.ArrayLike) -> FloatArray:
        """KV tokens of sequences of these lengths, each at least 1."""
        n = np.asarray(tokens, dtype=np.float64)
        return self.constant + self.per_token * n + self.per_window_token * np.minimum(n, self.window)

    def sum_to(self, tokens: npt.ArrayLike) -> FloatArray:
        """f(1) + ... + f(n), 0 for n = 0."""
        n = np.asarray(tokens, dtype=np.float64)
        inside = np.minimum(n, self.window)
        windowed = inside * (inside + 1) / 2 + (n - inside) * self.window
        return self.constant * n + self.per_token * n * (n + 1) / 2 + self.per_window_token * windowed

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """constant, per_token, per_window_token, window: as kernels take them."""
        return float(self.constant), float(self.per_token), float(self.per_window_token), float(self.window)


STATE_TOKENS = 16  # vLLM's usual block
PLAIN = TokenCurve()  # a sequence's tokens themselves


def token_bytes(model: Model, kv_dtype: str, gpus: int) -> float:
    """Bytes of one KV token on each GPU: what a token takes while no window is full.

    For a model that keeps states only, one sequence's state counts as STATE_TOKENS.
    """
    return model.kv_bytes_per_token_per_gpu(kv_dtype, gpus) or model.state_bytes(gpus) / STATE_TOKENS


def kept_curve(model: Model, kv_dtype: str, gpus: int) -> TokenCurve | None:
    """Memory of a sequence; None where it is its tokens. Of several windows the widest counts for all."""
    bits, unit = kv_bits(kv_dtype), token_bytes(model, kv_dtype, gpus)
    own = [m for m in model.mixer_groups if m.kept]
    windowed = sum(m.count * m.token_bytes(bits, gpus) for m in own if m.window)
    every = model.kv_bytes_per_token_per_gpu(kv_dtype, gpus) - windowed
    window = max((m.window for m in own), default=0)
    return _unless_plain(TokenCurve(model.state_bytes(gpus) / unit, every / unit, windowed / unit, window))


def read_curve(model: Model, kv_dtype: str, gpus: int) -> TokenCurve | None:
    """What a decode step reads of a sequence, and writes of its state; None where it is its tokens."""
    bits, unit = kv_bits(kv_dtype), token_bytes(model, kv_dtype, gpus)
    seen = [(m, int(m.seen(math.inf)) if m.window or m.reads else 0) for m in model.mixer_groups]
    windowed = sum(m.count * m.token_bytes(bits, gpus) for m, most in seen if most)
    every = sum(m.count * (m.index_bytes + (0 if most else m.token_bytes(bits, gpus))) for m, most in seen)
    window = max((most for _, most in seen), default=0)
    return _unless_plain(TokenCurve(2 * model.state_bytes(gpus) / unit, every / unit, windowed / unit, window))


def _unless_plain(curve: TokenCurve) -> TokenCurve | None:
    return None if curve == PLAIN else curve
