"""shadowprice: the decisions of an LLM serving fleet by mathematical optimization, with a certified gap."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("shadowprice")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0"
