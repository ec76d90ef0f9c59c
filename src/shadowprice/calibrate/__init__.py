"""Fits what serves to what was measured: the step time and limits of a worker from an engine's per-request log."""

from shadowprice.calibrate.fit import Fit, Limit, fit, with_unseen_half
from shadowprice.calibrate.limits import Given

__all__ = ["Fit", "Given", "Limit", "fit", "with_unseen_half"]
