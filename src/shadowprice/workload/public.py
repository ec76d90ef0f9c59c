"""Public traces by name: downloaded once from their home, verified by SHA-256, cached."""

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
import urllib3

from shadowprice.errors import TraceError

CACHE_VARIABLE = "SHADOWPRICE_CACHE_DIR"
TIMEOUT_S = 30


@dataclass(frozen=True)
class PublicTrace:
    """Where a public trace lives, the SHA-256 of its bytes, its licence and who to cite."""

    url: str
    sha256: str
    licence: str
    source: str


AZURE_HOME = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/b469a113cedca53ddc3bdea71a143dc4b7d8700c/data/"
MOONCAKE_HOME = "https://raw.githubusercontent.com/kvcache-ai/Mooncake/3cca71daccf2a7afb8fe3f0295358f70e3a69fdb/FAST25-release/traces/"
AZURE_SOURCE = "Patel et al., Splitwise, ISCA 2024"
MOONCAKE_SOURCE = "Qin et al., Mooncake, FAST 2025"

PUBLIC_TRACES: dict[str, PublicTrace] = {
    "azure-2023-conv": PublicTrace(
        AZURE_HOME + "AzureLLMInferenceTrace_conv.csv",
        "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
        "CC-BY-4.0",
        AZURE_SOURCE,
    ),
    "azure-2023-code": PublicTrace(
        AZURE_HOME + "AzureLLMInferenceTrace_code.csv",
        "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
        "CC-BY-4.0",
        AZURE_SOURCE,
    ),
    "mooncake-conversation": PublicTrace(
        MOONCAKE_HOME + "conversation_trace.jsonl",
        "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df",
        "Apache-2.0",
        MOONCAKE_SOURCE,
    ),
    "mooncake-synthetic": PublicTrace(
        MOONCAKE_HOME + "synthetic_trace.jsonl",
        "bd070915a98fc0ed264d7cfef2ce746002eb3076a695ec31ba2674c0111ec131",
        "Apache-2.0",
        MOONCAKE_SOURCE,
    ),
}


def cache_folder() -> Path:
    """Where downloads are kept: SHADOWPRICE_CACHE_DIR, or the operating system's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("shadowprice"))


def fetch_public(name: str, known: dict[str, PublicTrace] | None = None) -> Path:
    """The file of the public trace `name`, from the cache or downloaded into it (progress bar on a terminal).

    Raises TraceError saying what failed and how to go on without a network.
    """
    traces = PUBLIC_TRACES if known is None else known
    if name not in traces:
        raise TraceError(f"{name}: no such public trace; known: {', '.join(traces)}")
    trace = traces[name]
    folder = cache_folder()
    file_name = f"{name}{Path(trace.url).suffix}"
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT_S)
        path = pooch.retrieve(trace.url, f"sha256:{trace.sha256}", file_name, folder, downloader=downloader)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise TraceError(_help(name, trace, folder / file_name, error)) from error
    return Path(path)


def _help(name: str, trace: PublicTrace, target: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return (
        f"{name}: not in the cache, and downloading {trace.url} failed ({reason}). Without a network, copy that file "
        f"from another machine to {target} (SHA-256 {trace.sha256}), or use a preset: shadowprice trace list"
    )
