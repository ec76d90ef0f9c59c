"""What serves: GPUs, models, workers and their step times; fleet files and presets."""

from shadowprice.fleet.files import PRESETS, read_fleet, write_fleet
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.gpus import GPUS, Gpu
from shadowprice.fleet.model_config import read_model
from shadowprice.fleet.model_presets import MODELS
from shadowprice.fleet.models import Model
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker

__all__ = [
    "GPUS",
    "MODELS",
    "PRESETS",
    "Fleet",
    "Gpu",
    "Model",
    "StepTime",
    "Worker",
    "read_fleet",
    "read_model",
    "write_fleet",
]
