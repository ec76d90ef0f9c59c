"""Data sheets of the GPUs that serve language models.

Rates are peaks as the vendor states them, dense (half of a figure given "with sparsity"). `hbm_bytes` is what the
driver reports as total memory, a little below the nominal size in the product's name, because that is what a serving
engine takes its share of. Power is the board's limit; idle power is on no data sheet, so it is given only where
somebody measured it.
"""

import math
from dataclasses import dataclass

from shadowprice.errors import FleetError
from shadowprice.fleet.names import did_you_mean

GIB = 1024**3


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its data sheet has it.

    Parameters
    ----------
    name : str
        Of the board.
    hbm_bytes : int
        Memory that the driver reports [bytes].
    hbm_bandwidth_bytes_per_s : float
        Peak of the memory [bytes/s].
    bf16_flops_per_s : float
        Dense peak of the tensor cores with 32-bit accumulation, where the vendor tells them apart.
    fp8_flops_per_s : float or None
        Likewise; None where the chip has no fp8 units.
    interconnect : str
        The link to the other GPUs of the same worker.
    interconnect_bytes_per_s : float
        Its peak, both directions together [bytes/s].
    peak_power_w : float
        Of the board [W].
    idle_power_w : float or None
        Of the board [W]; None where it is not known.
    usd_per_hour : float or None
        What one costs to rent; None until you say so: prices have no data sheet.

    Raises
    ------
    FleetError
        When a number is not positive and finite.
    """

    name: str
    hbm_bytes: int
    hbm_bandwidth_bytes_per_s: float
    bf16_flops_per_s: float
    fp8_flops_per_s: float | None
    interconnect: str
    interconnect_bytes_per_s: float
    peak_power_w: float
    idle_power_w: float | None = None
    usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if isinstance(value, (int, float)) and not (math.isfinite(value) and value > 0):
                raise FleetError(f"gpu.{key} is {value!r}; expected a finite number > 0")

    def flops_per_s(self, weight_bits: float) -> float:
        """Peak rate of matrix products whose weights have that many bits."""
        return self.fp8_flops_per_s if weight_bits == 8 and self.fp8_flops_per_s else self.bf16_flops_per_s


GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        # NVIDIA A100 Tensor Core GPU data sheet (June 2021): SXM4 40 GB and 80 GB, 80 GB PCIe.
        Gpu("A100-40GB", int(39.39 * GIB), 1.555e12, 312e12, None, "NVLink 3", 600e9, 400.0),
        Gpu("A100-80GB", int(79.15 * GIB), 2.039e12, 312e12, None, "NVLink 3", 600e9, 400.0),
        Gpu("A100-80GB-PCIe", int(79.15 * GIB), 1.935e12, 312e12, None, "PCIe 4", 64e9, 300.0),
        # NVIDIA H100 Tensor Core GPU data sheet: SXM5 80 GB, PCIe 80 GB, NVL 94 GB.
        Gpu("H100", int(79.22 * GIB), 3.35e12, 989.4e12, 1978.9e12, "NVLink 4", 900e9, 700.0),
        Gpu("H100-PCIe", int(79.22 * GIB), 2.0e12, 756e12, 1513e12, "PCIe 5", 128e9, 350.0),
        Gpu("H100-NVL", int(93.1 * GIB), 3.9e12, 835.5e12, 1671e12, "NVLink bridge", 600e9, 400.0),
        # NVIDIA H200 Tensor Core GPU data sheet: SXM5 141 GB.
        Gpu("H200", int(139.8 * GIB), 4.8e12, 989.4e12, 1978.9e12, "NVLink 4", 900e9, 700.0),
        # NVIDIA HGX B200 data sheet, one eighth of the eight-GPU board.
        Gpu("B200", int(178.4 * GIB), 8.0e12, 2250e12, 4500e12, "NVLink 5", 1800e9, 1000.0),
        # NVIDIA L40S and L4 data sheets.
        Gpu("L40S", int(44.4 * GIB), 0.864e12, 362.05e12, 733e12, "PCIe 4", 64e9, 350.0),
        Gpu("L4", int(22.0 * GIB), 0.300e12, 121e12, 242.5e12, "PCIe 4", 64e9, 72.0),
        # NVIDIA Ada GPU architecture whitepaper, table of the GeForce RTX 4090 (tensor peaks with fp32 accumulate).
        Gpu("RTX-4090", int(23.55 * GIB), 1.008e12, 165.2e12, 330.3e12, "PCIe 4", 64e9, 450.0),
        # NVIDIA RTX Blackwell PRO GPU architecture whitepaper, RTX PRO 6000 Blackwell Workstation Edition.
        Gpu("RTX-PRO-6000", int(94.97 * GIB), 1.792e12, 503.8e12, 1007.6e12, "PCIe 5", 128e9, 600.0),
        # AMD Instinct MI300X data sheet: seven Infinity Fabric links of 128 GB/s.
        Gpu("MI300X", int(191.5 * GIB), 5.3e12, 1307.4e12, 2614.9e12, "Infinity Fabric", 896e9, 750.0),
    )
}


def gpu_by_name(name: str) -> Gpu:
    """The data sheet of that name (letter case does not matter). Raises FleetError with the nearest known name."""
    for known, gpu in GPUS.items():
        if known.lower() == name.lower():
            return gpu
    raise FleetError(f"unknown GPU {name!r}; {did_you_mean(name, GPUS)}")
