"""Formats of numbers: how many bits a weight and an entry of the KV cache take."""

from shadowprice.errors import FleetError
from shadowprice.fleet.names import did_you_mean

# Bits per quantised weight, scales included: one 16-bit scale per group of 128 for int4, one 8-bit scale per block
# of 32 for mxfp4 (OCP Microscaling specification) and of 16 for nvfp4.
WEIGHT_BITS = {
    "bf16": 16.0,
    "fp16": 16.0,
    "fp32": 32.0,
    "fp8": 8.0,
    "int8": 8.0,
    "int4": 4.125,
    "mxfp4": 4.25,
    "nvfp4": 4.5,
}
KV_BITS = {"bf16": 16, "fp16": 16, "fp32": 32, "fp8": 8}


def kv_bits(kv_dtype: str) -> int:
    """Bits of one number in the cache. Raises FleetError for a format that is none of KV_BITS."""
    if kv_dtype not in KV_BITS:
        raise FleetError(f"kv_cache_dtype is {kv_dtype!r}; {did_you_mean(kv_dtype, KV_BITS)}")
    return KV_BITS[kv_dtype]
