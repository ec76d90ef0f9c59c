"""The fleet: identical workers, and what they are made of."""

import math
from dataclasses import dataclass

from shadowprice.errors import FleetError
from shadowprice.fleet.formats import KV_BITS
from shadowprice.fleet.gpus import Gpu
from shadowprice.fleet.models import Model
from shadowprice.fleet.names import did_you_mean
from shadowprice.fleet.worker import Worker


@dataclass(frozen=True)
class Fleet:
    """Identical workers, and what they are made of.

    Parameters
    ----------
    name : str
        For titles and messages.
    worker : Worker
        Step time and limits, all that a simulation or a bound needs.
    workers : int
        How many there are.
    gpu, model : Gpu and Model, or None
        Where memory, power and cost come from; None where the source does not say.
    tensor_parallel_size : int
        GPUs that hold one copy of the model.
    gpu_memory_utilization : float
        Share of the GPU's memory that the engine takes, in (0, 1].
    kv_cache_dtype : str
        Format of the KV cache.
    idle_power_w, peak_power_w : float or None
        Of one worker, all its GPUs [W]; None stands for the data sheet's figure (`worker_power_w`).
    step_time_note : str
        Where the step time came from, for people.

    Raises
    ------
    FleetError
        When a number is impossible.
    """

    name: str
    worker: Worker
    workers: int = 1
    gpu: Gpu | None = None
    model: Model | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    kv_cache_dtype: str = "bf16"
    idle_power_w: float | None = None
    peak_power_w: float | None = None
    step_time_note: str = "given"

    def __post_init__(self) -> None:
        for name in ("workers", "tensor_parallel_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise FleetError(f"{name} is {value!r}; expected a whole number >= 1")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise FleetError(f"gpu_memory_utilization is {self.gpu_memory_utilization!r}; expected 0 < share <= 1")
        if self.kv_cache_dtype not in KV_BITS:
            raise FleetError(f"kv_cache_dtype is {self.kv_cache_dtype!r}; {did_you_mean(self.kv_cache_dtype, KV_BITS)}")
        for name in ("idle_power_w", "peak_power_w"):
            watts = getattr(self, name)
            if watts is not None and not (math.isfinite(watts) and watts >= 0):
                raise FleetError(f"{name} is {watts!r}; expected a finite number >= 0")
        if self.idle_power_w is not None and self.peak_power_w is not None and self.idle_power_w > self.peak_power_w:
            raise FleetError(f"idle_power_w is {self.idle_power_w}, more than peak_power_w, {self.peak_power_w}")

    @property
    def gpus_per_worker(self) -> int:
        """GPUs of one worker."""
        return self.tensor_parallel_size

    @property
    def gpus(self) -> int:
        """GPUs of the whole fleet."""
        return self.workers * self.gpus_per_worker

    @property
    def worker_power_w(self) -> tuple[float | None, float | None]:
        """Idle and peak power of one worker [W]: as given, else its GPUs' data sheet; None where neither says."""
        sheet = (None, None) if self.gpu is None else (self.gpu.idle_power_w, self.gpu.peak_power_w)
        idle, peak = (None if watts is None else watts * self.gpus_per_worker for watts in sheet)
        return (
            idle if self.idle_power_w is None else self.idle_power_w,
            peak if self.peak_power_w is None else self.peak_power_w,
        )
