"""What can be set about the router, checked in one place."""

import math
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shadowprice.errors import PolicyError, RouterError
from shadowprice.fleet.names import did_you_mean
from shadowprice.routing.policies import MOST_PASSES, POLICIES, BuiltIn, having, make

MEBIBYTE = 1 << 20
PATH = re.compile(r"/[!-~]*")


@dataclass(frozen=True)
class Settings:
    """The router's settings; names follow the flags of `vllm serve` and of the routers that came before.

    worker_urls: one per worker; each stands for intra_node_data_parallel_size ranks, told apart by the header
    X-data-parallel-rank. max_num_seqs, max_kv_tokens: caps per worker on requests and on KV tokens in flight; what is
    beyond them waits in the router's queue. max_kv_tokens None takes the size that the worker's metrics tell, 0 is no
    cap. max_concurrent_requests: cap on all requests in flight. queue_size: most requests that wait; queue_timeout_s:
    longest wait. max_buffered_size: most bytes of all bodies together whose answers have not begun. processes: on one
    port, see `processes/first.py`. prefill_kv_tokens: of bf_io and priced_holes, what recomputing a prompt token
    costs, in KV tokens read by a step; above 0 they weigh cached prefixes against balance. most_passes: of the same
    two, how many younger requests may leave the router's queue before one.
    progress_timeout_s: longest silence of a worker towards a request. All times in seconds.
    Raises RouterError when a value is impossible.
    """

    worker_urls: tuple[str, ...] = ()
    policy: str = "bf_io"
    scheduling_policy: str = "fcfs"
    max_wait_s: float = 30.0
    lockstep: bool = True
    intra_node_data_parallel_size: int = 1
    host: str = "127.0.0.1"
    port: int = 30000
    prometheus_host: str = "127.0.0.1"
    prometheus_port: int = 29000
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    worker_api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    max_num_seqs: int | None = None
    max_kv_tokens: int | None = None
    max_concurrent_requests: int | None = None
    queue_size: int = 4096
    queue_timeout_s: float = 60.0
    pool: int = 64
    max_payload_size: int = 512 * MEBIBYTE
    max_buffered_size: int = 4096 * MEBIBYTE
    max_header_size: int = 64 * 1024
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    connect_timeout_s: float = 2.0
    progress_timeout_s: float = 60.0
    request_timeout_s: float = 1800.0
    max_retries: int = 3
    health_check_interval_s: float = 1.0
    health_check_timeout_s: float = 2.0
    health_check_endpoint: str = "/health"
    metrics_interval_s: float = 2.0
    drain_timeout_s: float = 180.0
    record: str | None = None
    access_log: str | None = None
    otlp_traces_endpoint: str | None = None
    prefill_kv_tokens: float = 0.0
    most_passes: int = MOST_PASSES
    worker_file: str | None = None
    tokenizer: str | None = None
    shadow: bool = True
    processes: int = 1

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise RouterError(f"{_flag(name)} is {value}; expected a number, at least {least}")
        for name in ("port", "prometheus_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise RouterError(f"--{name.replace('_', '-')} is {getattr(self, name)}; expected 0 to 65535")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise RouterError("--ssl-keyfile is given without --ssl-certfile; expected both")
        if self.policy not in POLICIES:
            raise PolicyError(f"--policy is {self.policy!r}; {did_you_mean(self.policy, POLICIES)}")
        if self.prefill_kv_tokens and self.policy not in having("prefill_kv_tokens"):
            expected = " or ".join(having("prefill_kv_tokens"))
            raise PolicyError(f"--prefill-kv-tokens with --policy {self.policy}; expected {expected}")
        if not PATH.fullmatch(self.health_check_endpoint):
            raise RouterError(
                f"--health-check-endpoint is {self.health_check_endpoint!r}; expected a path like /health"
            )
        endpoint = self.otlp_traces_endpoint
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise RouterError(f"--otlp-traces-endpoint is {endpoint!r}; expected http://host:port/v1/traces")
        if self.processes > 1 and self.record is not None and not self.record.endswith(".parquet"):
            raise RouterError(f"--record {self.record} with --processes {self.processes}; expected a .parquet file")
        for name in ("host", "prometheus_host"):
            if not getattr(self, name):
                raise RouterError(f"{_flag(name)} is empty; expected an address, 0.0.0.0 for every one")
        self._check_worker_urls()
        for key in self.api_keys:
            check_key("--api-key", key)
        if self.worker_api_key is not None:
            check_key("--worker-api-key", self.worker_api_key)

    def _check_worker_urls(self) -> None:
        seen = set()
        for url in self.worker_urls:
            try:
                address = worker_address(url)
            except RouterError as error:
                raise RouterError(f"--worker-urls: {error}") from error
            if address in seen:
                raise RouterError(f"--worker-urls: {url} stands there twice; expected each worker once")
            seen.add(address)


def _flag(name: str) -> str:
    """The flag that sets this."""
    known = {"max_wait_s": "max_wait", "drain_timeout_s": "shutdown_grace_period_secs"}
    return "--" + known.get(name, re.sub(r"_s$", "_secs", name)).replace("_", "-")


def check_key(flag: str, key: str) -> None:
    """Raise RouterError, which does not show the key, unless an Authorization header can carry it."""
    if not key or not all("!" <= letter <= "~" for letter in key):
        found = f"a key of {len(key)} characters, not all of which a header can carry" if key else "an empty key"
        raise RouterError(
            f"{flag} (or {_variable(flag)}) is {found}; expected one or more printable ASCII characters and no spaces"
        )


def _variable(flag: str) -> str:
    """The environment variable that sets what this flag does: there nobody else sees a key."""
    return "SHADOWPRICE_" + flag.removeprefix("--").replace("-", "_").upper()


def make_policy(name: str, settings: Settings) -> BuiltIn:
    """The routing policy of that name, with the parameters that are set."""
    return make(name, prefill_kv_tokens=settings.prefill_kv_tokens, most_passes=settings.most_passes)


_LEAST: dict[str, float] = {
    "intra_node_data_parallel_size": 1,
    "max_num_seqs": 1,
    "max_kv_tokens": 0,
    "max_concurrent_requests": 1,
    "queue_size": 0,
    "queue_timeout_s": 0,
    "max_wait_s": 0,
    "pool": 1,
    "max_payload_size": 1,
    "max_buffered_size": 1,
    "max_header_size": 256,
    "header_timeout_s": 0.1,
    "idle_timeout_s": 0.1,
    "connect_timeout_s": 0.01,
    "progress_timeout_s": 0.1,
    "request_timeout_s": 0.1,
    "max_retries": 0,
    "health_check_interval_s": 0.05,
    "health_check_timeout_s": 0.05,
    "metrics_interval_s": 0.1,
    "drain_timeout_s": 0,
    "processes": 1,
    "prefill_kv_tokens": 0,
    "most_passes": 0,
}


@dataclass(frozen=True)
class Address:
    """Where a worker listens. path: what stands before every target, without a final slash. rank: of @rank, or None."""

    tls: bool
    host: str
    port: int
    path: str
    rank: int | None

    @property
    def url(self) -> str:
        """The URL without its rank."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def worker_address(url: str) -> Address:
    """Read http://host:port or http://host:port@rank. Raises RouterError for anything else."""
    bare, at, rank = url.rpartition("@")
    if not at:
        bare, rank = url, ""
    accepted = "http://host:port or https://host:port, perhaps with @rank"
    if at and not rank.isdecimal():
        raise RouterError(f"worker URL {url!r}: what follows @ is {rank!r}; expected a rank; accepted: {accepted}")
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise RouterError(f"worker URL {url!r}: a space or control character; expected {accepted}")
    try:
        parts = urlsplit(bare)
        port = parts.port
    except ValueError as error:
        raise RouterError(f"worker URL {url!r}: {error}; expected {accepted}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise RouterError(f"worker URL {url!r}: expected {accepted}")
    if parts.path.rstrip("/").endswith("/v1"):
        raise RouterError(f"worker URL {url!r}: clients' paths begin with /v1 already; expected it without")
    tls = parts.scheme == "https"
    return Address(tls, parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"), int(rank) if at else None)
