"""What can be set about the router: each setting once, with its flag, what that says, and the least that it may be.

The command line is made of these fields, in their order (`cli/route.py`). What takes long to load is imported when
settings are checked: `--help` need not wait for it.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Annotated, get_type_hints

from shadowprice.errors import PolicyError, RouterError
from shadowprice.router.address import worker_address

MEBIBYTE = 1 << 20
PATH = re.compile(r"/[!-~]*")
WORKERS, POLICY, LIMITS, FAILURE = "Workers", "Decisions", "Limits", "Failures"
LISTEN, OUTPUT = "Listening", "Records"


@dataclass(frozen=True)
class Flag:
    """How a field is set: what --help says of it, under which heading (None: it has no flag).

    name: where it is not the field's own. least: smaller is an error. variable: the environment variable that sets it
    too, since nobody else sees a key there.
    """

    help: str = ""
    group: str | None = None
    name: str | None = None
    least: float | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Settings:
    """The router's settings; names follow the flags of `vllm serve` and of the routers that came before.

    A worker URL stands for intra_node_data_parallel_size ranks, told apart by the header X-data-parallel-rank. Caps are
    on what is in flight at a worker; what is beyond them waits in the router's queue. max_kv_tokens None takes the size
    that the worker's metrics tell, 0 is no cap. prefill_kv_tokens: above 0 cached prefixes are weighed against balance.
    processes: see `processes/first.py`. All times in seconds. Raises RouterError when a value is impossible.
    """

    worker_urls: Annotated[
        tuple[str, ...], Flag("http://host:port of each worker; http://host:port@2 for rank 2 of one.", WORKERS)
    ] = ()
    worker_file: Annotated[
        str | None, Flag("A file with a worker URL per line; followed while the router runs.", WORKERS)
    ] = None
    intra_node_data_parallel_size: Annotated[
        int, Flag("Data-parallel ranks behind each URL, told apart by X-data-parallel-rank.", WORKERS, least=1)
    ] = 1
    worker_api_key: Annotated[
        str | None,
        Flag(
            "Sent to workers in place of the client's; or env SHADOWPRICE_WORKER_API_KEY.",
            WORKERS,
            variable="SHADOWPRICE_WORKER_API_KEY",
        ),
    ] = field(default=None, repr=False)
    lockstep: Annotated[
        bool, Flag("Do workers step together (data parallel with experts), or each by itself.", WORKERS)
    ] = True
    policy: Annotated[str, Flag("Routing policy (docs/routing.md); bf-io and bf_io are the same.", POLICY)] = "bf_io"
    scheduling_policy: Annotated[
        str, Flag("Order of the router's queue: fcfs, priority, vtc, priced_work, ... (docs/scheduling.md).", POLICY)
    ] = "fcfs"
    max_wait_s: Annotated[
        float, Flag("Seconds after which nobody passes a request in that queue.", POLICY, name="--max-wait", least=0)
    ] = 30.0
    pool: Annotated[int, Flag("How many waiting requests are offered to the policy at once.", POLICY, least=1)] = 64
    prefill_kv_tokens: Annotated[
        float,
        Flag(
            "Of bf_io and priced_holes: cost of recomputing a prompt token, in KV tokens; 0: balance only.",
            POLICY,
            least=0,
        ),
    ] = 0.0
    most_passes: Annotated[
        int, Flag("Of bf_io and priced_holes: most younger requests that leave the queue before one.", POLICY, least=0)
    ] = 300
    tokenizer: Annotated[
        str | None, Flag("A tokenizer.json, to count prompt tokens; else bytes per token are learned.", POLICY)
    ] = None
    max_num_seqs: Annotated[
        int | None, Flag("Most requests at one worker (the engine's flag); the rest wait here.", LIMITS, least=1)
    ] = None
    max_kv_tokens: Annotated[
        int | None,
        Flag("Most KV tokens at one worker; by default what its metrics tell, 0 for no cap.", LIMITS, least=0),
    ] = None
    max_concurrent_requests: Annotated[
        int | None, Flag("Most requests at all workers together; the rest wait here.", LIMITS, least=1)
    ] = None
    queue_size: Annotated[int, Flag("Most requests that wait here; beyond it 429.", LIMITS, least=0)] = 4096
    queue_timeout_s: Annotated[float, Flag("Longest wait here; beyond it 429.", LIMITS, least=0)] = 60.0
    max_payload_size: Annotated[int, Flag("Largest body of a request in bytes.", LIMITS, least=1)] = 512 * MEBIBYTE
    max_buffered_size: Annotated[
        int,
        Flag(
            "Most bytes of all bodies whose answers have not begun (each process has its share); beyond it 503.",
            LIMITS,
            least=1,
        ),
    ] = 4096 * MEBIBYTE
    max_header_size: Annotated[int, Flag(least=256)] = 64 * 1024
    header_timeout_s: Annotated[float, Flag(least=0.1)] = 10.0
    idle_timeout_s: Annotated[float, Flag(least=0.1)] = 75.0
    max_retries: Annotated[int, Flag("Other workers tried, before the first byte of an answer.", FAILURE, least=0)] = 3
    progress_timeout_s: Annotated[float, Flag("Longest silence of a worker towards a request.", FAILURE, least=0.1)] = (
        60.0
    )
    request_timeout_s: Annotated[float, Flag("Longest time for a request.", FAILURE, least=0.1)] = 1800.0
    connect_timeout_s: Annotated[float, Flag("Longest time to connect to a worker.", FAILURE, least=0.01)] = 2.0
    health_check_interval_s: Annotated[float, Flag("Between two health probes.", FAILURE, least=0.05)] = 1.0
    health_check_timeout_s: Annotated[float, Flag("Longest time for a health probe.", FAILURE, least=0.05)] = 2.0
    health_check_endpoint: Annotated[str, Flag("Path of the health probe.", FAILURE)] = "/health"
    metrics_interval_s: Annotated[float, Flag(least=0.1)] = 2.0
    drain_timeout_s: Annotated[
        float,
        Flag(
            "On SIGTERM: longest wait for the requests that run.", FAILURE, name="--shutdown-grace-period-secs", least=0
        ),
    ] = 180.0
    processes: Annotated[int, Flag("Processes on the port, when one core does not suffice.", LISTEN, least=1)] = 1
    wait_for_kernels: Annotated[
        bool,
        Flag("Listen only when what decides is compiled; else, after an installation, a plain rule decides.", LISTEN),
    ] = False
    host: Annotated[str, Flag("Address to listen on.", LISTEN)] = "127.0.0.1"
    port: Annotated[int, Flag("Port to listen on.", LISTEN)] = 30000
    prometheus_host: Annotated[str, Flag("Address of the dashboard, the metrics and the admin API.", LISTEN)] = (
        "127.0.0.1"
    )
    prometheus_port: Annotated[int, Flag("Port of the dashboard, the metrics and the admin API.", LISTEN)] = 29000
    api_keys: Annotated[
        tuple[str, ...],
        Flag(
            "A key that clients must show; may be given often; or env SHADOWPRICE_API_KEY.",
            LISTEN,
            name="--api-key",
            variable="SHADOWPRICE_API_KEY",
        ),
    ] = field(default=(), repr=False)
    admin_api_key: Annotated[
        str | None,
        Flag(
            "Key of the dashboard and admin API; or env SHADOWPRICE_ADMIN_API_KEY.",
            LISTEN,
            variable="SHADOWPRICE_ADMIN_API_KEY",
        ),
    ] = field(default=None, repr=False)
    ssl_certfile: Annotated[str | None, Flag("Certificate (PEM): clients come by TLS.", LISTEN)] = None
    ssl_keyfile: Annotated[str | None, Flag("Its key (PEM).", LISTEN)] = None
    record: Annotated[
        str | None, Flag("Write the live trace here (.parquet or .jsonl), for audit and plan.", OUTPUT)
    ] = None
    access_log: Annotated[str | None, Flag("A JSON line per request to this file; - for stdout.", OUTPUT)] = None
    otlp_traces_endpoint: Annotated[
        str | None, Flag("Send OpenTelemetry spans there, http://host:4318/v1/traces (needs the extra otel).", OUTPUT)
    ] = None
    shadow: Annotated[bool, Flag("Score every policy on the live trace beside the active one.", OUTPUT)] = True

    def __post_init__(self) -> None:
        from shadowprice.fleet.names import did_you_mean
        from shadowprice.routing.policies import POLICIES, having

        for name, flag in FLAGS.items():
            value = getattr(self, name)
            if flag.least is not None and value is not None and not flag.least <= value < math.inf:
                raise RouterError(f"{flag_name(name)} is {value}; expected a number, at least {flag.least:g}")
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
                raise RouterError(f"{flag_name(name)} is empty; expected an address, 0.0.0.0 for every one")
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


FLAGS: dict[str, Flag] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(Settings, include_extras=True).items()
}


def flag_name(field_name: str) -> str:
    """The flag that sets a field."""
    return FLAGS[field_name].name or "--" + re.sub(r"_s$", "_secs", field_name).replace("_", "-")


def check_key(flag: str, key: str) -> None:
    """Raise RouterError, which does not show the key, unless an Authorization header can carry it."""
    if not key or not all("!" <= letter <= "~" for letter in key):
        variable = "SHADOWPRICE_" + flag.removeprefix("--").replace("-", "_").upper()
        found = f"a key of {len(key)} characters, not all of which a header can carry" if key else "an empty key"
        raise RouterError(
            f"{flag} (or {variable}) is {found}; expected one or more printable ASCII characters and no spaces"
        )
