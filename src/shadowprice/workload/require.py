"""The one check of arguments that this package needs."""

import numpy as np

from shadowprice.errors import TraceError


def require(fits: bool | np.bool_, message: str) -> None:
    """Raise TraceError with `message` unless `fits`."""
    if not fits:
        raise TraceError(message)
