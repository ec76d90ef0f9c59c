"""`shadowprice route`: the live router before real engines."""

import os
from typing import Annotated, Any

import typer

from shadowprice.errors import RouterError

EPILOG = """Examples:

\b
shadowprice route --worker-urls http://gpu1:8000 http://gpu2:8000
shadowprice route --worker-urls http://node:8000 --intra-node-data-parallel-size 8 --max-num-seqs 256
shadowprice route --worker-urls http://gpu1:8000 http://gpu2:8000 --host 0.0.0.0 --api-key KEY --record trace.parquet
shadowprice route --worker-file workers.txt --policy priced_holes --scheduling-policy vtc --max-num-seqs 128

Then point clients at http://HOST:PORT/v1 and a browser at the dashboard. docs/router.md explains every flag."""

LISTEN, WORKERS, POLICY = "Listening", "Workers", "Decisions"
LIMITS, FAILURE, OUTPUT = "Limits", "Failures", "Records"


def _option(help_text: str, panel: str, **more: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel, **more)


def route(
    more_urls: Annotated[
        list[str] | None, typer.Argument(metavar="URL", help="More worker URLs, after --worker-urls.")
    ] = None,
    worker_urls: Annotated[
        list[str] | None, _option("http://host:port of each worker; http://host:port@2 for rank 2 of one.", WORKERS)
    ] = None,
    worker_file: Annotated[
        str | None, _option("A file with a worker URL per line; followed while the router runs.", WORKERS)
    ] = None,
    intra_node_data_parallel_size: Annotated[
        int, _option("Data-parallel ranks behind each URL, told apart by X-data-parallel-rank.", WORKERS)
    ] = 1,
    worker_api_key: Annotated[
        str | None, _option("Sent to workers in place of the client's; or env SHADOWPRICE_WORKER_API_KEY.", WORKERS)
    ] = None,
    lockstep: Annotated[
        bool, _option("Do workers step together (data parallel with experts), or each by itself.", WORKERS)
    ] = True,
    policy: Annotated[
        str, _option("Routing policy (docs/routing.md); bf-io and bf_io are the same.", POLICY)
    ] = "bf_io",
    scheduling_policy: Annotated[
        str, _option("Order of the router's queue: fcfs, priority, vtc, priced_work, ... (docs/scheduling.md).", POLICY)
    ] = "fcfs",
    max_wait: Annotated[float, _option("Seconds after which nobody passes a request in that queue.", POLICY)] = 30.0,
    pool: Annotated[int, _option("How many waiting requests are offered to the policy at once.", POLICY)] = 64,
    prefill_kv_tokens: Annotated[
        float,
        _option(
            "Of bf_io and priced_holes: cost of recomputing a prompt token, in KV tokens; 0: balance only.", POLICY
        ),
    ] = 0.0,
    most_passes: Annotated[
        int, _option("Of bf_io and priced_holes: most younger requests that leave the queue before one.", POLICY)
    ] = 300,
    tokenizer: Annotated[
        str | None, _option("A tokenizer.json, to count prompt tokens; else bytes per token are learned.", POLICY)
    ] = None,
    max_num_seqs: Annotated[
        int | None, _option("Most requests at one worker (the engine's flag); the rest wait here.", LIMITS)
    ] = None,
    max_kv_tokens: Annotated[
        int | None, _option("Most KV tokens at one worker; by default what its metrics tell, 0 for no cap.", LIMITS)
    ] = None,
    max_concurrent_requests: Annotated[
        int | None, _option("Most requests at all workers together; the rest wait here.", LIMITS)
    ] = None,
    queue_size: Annotated[int, _option("Most requests that wait here; beyond it 429.", LIMITS)] = 4096,
    queue_timeout_secs: Annotated[float, _option("Longest wait here; beyond it 429.", LIMITS)] = 60.0,
    max_payload_size: Annotated[int, _option("Largest body of a request in bytes.", LIMITS)] = 512 << 20,
    max_buffered_size: Annotated[
        int,
        _option(
            "Most bytes of all bodies whose answers have not begun (each process has its share); beyond it 503.", LIMITS
        ),
    ] = 4 << 30,
    max_retries: Annotated[int, _option("Other workers tried, before the first byte of an answer.", FAILURE)] = 3,
    progress_timeout_secs: Annotated[float, _option("Longest silence of a worker towards a request.", FAILURE)] = 60.0,
    request_timeout_secs: Annotated[float, _option("Longest time for a request.", FAILURE)] = 1800.0,
    connect_timeout_secs: Annotated[float, _option("Longest time to connect to a worker.", FAILURE)] = 2.0,
    health_check_interval_secs: Annotated[float, _option("Between two health probes.", FAILURE)] = 1.0,
    health_check_timeout_secs: Annotated[float, _option("Longest time for a health probe.", FAILURE)] = 2.0,
    health_check_endpoint: Annotated[str, _option("Path of the health probe.", FAILURE)] = "/health",
    shutdown_grace_period_secs: Annotated[
        float, _option("On SIGTERM: longest wait for the requests that run.", FAILURE)
    ] = 180.0,
    processes: Annotated[int, _option("Processes on the port, when one core does not suffice.", LISTEN)] = 1,
    host: Annotated[str, _option("Address to listen on.", LISTEN)] = "127.0.0.1",
    port: Annotated[int, _option("Port to listen on.", LISTEN)] = 30000,
    prometheus_host: Annotated[
        str, _option("Address of the dashboard, the metrics and the admin API.", LISTEN)
    ] = "127.0.0.1",
    prometheus_port: Annotated[int, _option("Port of the dashboard, the metrics and the admin API.", LISTEN)] = 29000,
    api_key: Annotated[
        list[str] | None,
        _option("A key that clients must show; may be given often; or env SHADOWPRICE_API_KEY.", LISTEN),
    ] = None,
    admin_api_key: Annotated[
        str | None, _option("Key of the dashboard and admin API; or env SHADOWPRICE_ADMIN_API_KEY.", LISTEN)
    ] = None,
    ssl_certfile: Annotated[str | None, _option("Certificate (PEM): clients come by TLS.", LISTEN)] = None,
    ssl_keyfile: Annotated[str | None, _option("Its key (PEM).", LISTEN)] = None,
    record: Annotated[
        str | None, _option("Write the live trace here (.parquet or .jsonl), for audit and plan.", OUTPUT)
    ] = None,
    access_log: Annotated[str | None, _option("A JSON line per request to this file; - for stdout.", OUTPUT)] = None,
    otlp_traces_endpoint: Annotated[
        str | None,
        _option("Send OpenTelemetry spans there, http://host:4318/v1/traces (needs the extra otel).", OUTPUT),
    ] = None,
    shadow: Annotated[bool, _option("Score every policy on the live trace beside the active one.", OUTPUT)] = True,
) -> None:
    """Route OpenAI requests to vLLM or SGLang workers: a reverse proxy with the policies that the audit measured."""
    from shadowprice.router.process import run
    from shadowprice.router.settings import Settings

    run(
        Settings(
            worker_urls=tuple((worker_urls or []) + (more_urls or [])),
            policy=policy.replace("-", "_"),
            scheduling_policy=scheduling_policy.replace("-", "_"),
            max_wait_s=max_wait,
            lockstep=lockstep,
            intra_node_data_parallel_size=intra_node_data_parallel_size,
            host=host,
            port=port,
            prometheus_host=prometheus_host,
            prometheus_port=prometheus_port,
            api_keys=tuple(api_key or _keys_from_environment("SHADOWPRICE_API_KEY")),
            worker_api_key=_key(worker_api_key, "SHADOWPRICE_WORKER_API_KEY"),
            admin_api_key=_key(admin_api_key, "SHADOWPRICE_ADMIN_API_KEY"),
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            max_num_seqs=max_num_seqs,
            max_kv_tokens=max_kv_tokens,
            max_concurrent_requests=max_concurrent_requests,
            queue_size=queue_size,
            queue_timeout_s=queue_timeout_secs,
            pool=pool,
            max_payload_size=max_payload_size,
            max_buffered_size=max_buffered_size,
            connect_timeout_s=connect_timeout_secs,
            progress_timeout_s=progress_timeout_secs,
            request_timeout_s=request_timeout_secs,
            max_retries=max_retries,
            health_check_interval_s=health_check_interval_secs,
            health_check_timeout_s=health_check_timeout_secs,
            health_check_endpoint=health_check_endpoint,
            drain_timeout_s=shutdown_grace_period_secs,
            record=record,
            access_log=access_log,
            otlp_traces_endpoint=otlp_traces_endpoint,
            prefill_kv_tokens=prefill_kv_tokens,
            most_passes=most_passes,
            worker_file=worker_file,
            tokenizer=tokenizer,
            shadow=shadow,
            processes=processes,
        )
    )


def _key(given: str | None, variable: str) -> str | None:
    return os.environ.get(variable) if given is None else given


def _keys_from_environment(variable: str) -> list[str]:
    """Keys with commas between them: what stands on a command line can be seen by every user of the machine."""
    value = os.environ.get(variable)
    if value is None:
        return []
    keys = [key for part in value.split(",") if (key := part.strip())]
    if not keys:  # who sets it wants a key: without one every client would be served
        raise RouterError(
            f"{variable} is set, but names no key; expected keys with commas between, or no such variable"
        )
    return keys
