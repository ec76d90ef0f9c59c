"""What serves: GPUs, models, workers and their step times."""

from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker

__all__ = ["StepTime", "Worker"]
