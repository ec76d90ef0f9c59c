"""What is installed only when it is asked for: `pip install 'shadowprice[router]'`, and the error that says so."""

from importlib.util import find_spec

from shadowprice.errors import MissingExtraError

# The extras of pyproject.toml that a command may need: what each gives, and the modules without which it cannot.
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "report": ("pages and plots", ("jinja2", "matplotlib")),
    "router": ("the live router", ("aiohttp", "httptools", "prometheus_client", "xxhash")),
    "sweep": ("a sweep over several processes", ("joblib",)),
    "otel": ("sending OpenTelemetry spans", ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")),
    "tokenizer": ("counting prompts with a tokenizer", ("tokenizers",)),
}


def needs(extra: str) -> None:
    """Raise MissingExtraError, with the line that installs it, where a module of this extra is not installed."""
    gives, modules = EXTRAS[extra]
    missing = [module for module in modules if not _found(module)]
    if missing:
        raise MissingExtraError(
            f"{gives}: not installed: {', '.join(missing)}; expected: pip install 'shadowprice[{extra}]'"
        )


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # a finder that refuses it
        return False
