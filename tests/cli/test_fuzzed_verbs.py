"""Every verb on tiny traces, fleets and flags: it ends with 0, 1 or 2, and says no nan, no inf and no foreign warning.

pytest turns warnings into errors, so that a library's warning ends a verb with a traceback here.
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadowprice.cli import main
from shadowprice.fleet import Fleet, StepTime, Worker, read_fleet, write_fleet
from shadowprice.fleet.gpus import GPUS

FOREIGN = re.compile(r"\b(nan|inf|infinity|warning|traceback)\b", re.IGNORECASE)
fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 12)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def traces(draw: st.DrawFn) -> str:
    """A CSV of ours: few requests, of one token or many, at one moment or far apart, some larger than any worker."""
    n = draw(st.sampled_from([1, 2, 3, 12, 130]))
    law = draw(st.integers(1, min(n, 4)))
    prompt, output, gap = (
        draw(st.lists(st.sampled_from(values), min_size=law, max_size=law))
        for values in ([1, 2, 16, 100, 700, 5000], [1, 1, 2, 40, 300], [0.0, 0.0, 1e-6, 0.05, 1.0, 1e4])
    )
    cached = draw(st.booleans())
    lines = ["arrival_s,prompt_tokens,output_tokens" + (",cached_tokens" if cached else "")]
    now = draw(st.sampled_from([0.0, 7.5, 1.7e9]))
    for i in range(n):
        now += gap[i % law]
        lines.append(f"{now!r},{prompt[i % law]},{output[i % law]}" + (f",{prompt[i % law] // 2}" if cached else ""))
    return "\n".join(lines) + "\n"


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """A few small workers, with a GPU and a price or without."""
    worker = Worker(
        StepTime(draw(st.sampled_from([1e-4, 0.02])), draw(st.sampled_from([0.0, 1e-4])), 1e-7, 1e-5),
        max_num_seqs=draw(st.sampled_from([1, 4, 256])),
        max_num_batched_tokens=draw(st.sampled_from([256, 8192])),
        kv_tokens=draw(st.sampled_from([64, 1024, 16384])),
    )
    gpu = draw(st.sampled_from([None, "H100"]))
    return Fleet("fuzzed", worker, workers=draw(st.integers(1, 3)), gpu=None if gpu is None else GPUS[gpu], model=None)


def ask(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What the verb says; asserts that it ends as verbs do."""
    monkeypatch.setattr(sys, "argv", ["shadowprice", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capfd.readouterr()
    code = end.value.code or 0
    asked = " ".join(arguments)
    assert code in (0, 1, 2), (asked, code, err)
    assert not FOREIGN.search(out + err), (asked, out, err)
    if code == 2:
        assert err.strip() and not out.strip(), (asked, out, err)
    else:
        assert out.strip(), asked
    if "--json" in arguments and code != 2:
        json.loads(out, parse_constant=lambda name: pytest.fail(f"{asked}: {name} in JSON"))
    return out


def written(folder: Path, trace: str, fleet: Fleet, name: str = "fleet") -> tuple[str, str]:
    (folder / "trace.csv").write_text(trace)
    write_fleet(fleet, folder / f"{name}.toml")
    return str(folder / "trace.csv"), str(folder / f"{name}.toml")


flag = st.booleans().map(lambda yes: ["--json"] if yes else [])
oversized = st.booleans().map(lambda yes: ["--drop-oversized"] if yes else [])


def option(name: str, *values: float | str) -> st.SearchStrategy[list[str]]:
    """The option with one of these values, or without."""
    return st.sampled_from([[], *([name, str(value)] for value in values)])


@given(
    trace=traces(),
    fleet=fleets(),
    load=option("--load", "0.5", "1.0", "0.7,1.3"),
    limits=st.sampled_from([[], ["--ttft", "0.5", "--tpot", "0.05"], ["--tpot", "1e-3"], ["--ttft", "1e-6"]]),
    wait=option("--max-wait", "0", "3"),
    predict=option("--predict", "exact", "median", "noisy:0.3"),
    more=st.tuples(flag, oversized),
)
@fuzzed
def test_audit(tmp_path, capfd, monkeypatch, trace, fleet, load, limits, wait, predict, more) -> None:  # type: ignore[no-untyped-def]
    file, toml = written(tmp_path, trace, fleet)
    ask(capfd, monkeypatch, "audit", file, "--fleet", toml, *load, *limits, *wait, *predict, *more[0], *more[1])


@given(
    trace=traces(),
    fleet=fleets(),
    ttft=option("--ttft-p99", "1e-6", "0.5", "1000"),
    tpot=option("--tpot-p99", "1e-6", "0.05", "10"),
    rate=option("--rate", "0.01", "3", "500"),
    price=option("--usd-per-gpu-hour", "2", "0"),
    scaling=st.sampled_from([[], [], ["--autoscale", "--period", "60", "--provisioning-delay", "30"]]),
    more=st.tuples(flag, oversized),
)
@fuzzed
def test_plan(tmp_path, capfd, monkeypatch, trace, fleet, ttft, tpot, rate, price, scaling, more) -> None:  # type: ignore[no-untyped-def]
    file, toml = written(tmp_path, trace, fleet)
    flags = (*ttft, *tpot, *rate, *price, *scaling, *more[0], *more[1])
    ask(capfd, monkeypatch, "plan", file, "--fleet", toml, "--jobs", "1", *flags)


@given(
    trace=traces(),
    fleet=fleets(),
    other=fleets(),
    ttft=option("--ttft-p99", "1e-6", "0.5", "1000"),
    tpot=option("--tpot-p99", "1e-6", "0.05"),
    price=option("--usd-per-gpu-hour", "2", "0"),
    more=st.tuples(flag, oversized),
)
@fuzzed
def test_plan_of_several_kinds(tmp_path, capfd, monkeypatch, trace, fleet, other, ttft, tpot, price, more) -> None:  # type: ignore[no-untyped-def]
    file, toml = written(tmp_path, trace, fleet)
    _, second = written(tmp_path, trace, Fleet("other", other.worker, gpu=other.gpu), "other")
    flags = (*ttft, *tpot, *price, *more[0], *more[1])
    ask(capfd, monkeypatch, "plan", file, "--fleet", toml, "--fleet", second, "--jobs", "1", *flags)


@given(
    trace=traces(),
    fleet=fleets(),
    ttft=option("--ttft", "1e-6", "0.5", "1000"),
    tpot=option("--tpot", "1e-6", "0.05", "10"),
    share=option("--attainment", "0.01", "1"),
    workers=option("--workers", "1", "2", "3"),
    link=st.sampled_from([["--kv-bandwidth", "0"], ["--kv-bytes-per-token", "1000"], [], ["--layerwise"]]),
    first=option("--first-token", "prefill", "decode"),
    more=st.tuples(flag, oversized),
)
@fuzzed
def test_disaggregate(
    tmp_path, capfd, monkeypatch, trace, fleet, ttft, tpot, share, workers, link, first, more
) -> None:  # type: ignore[no-untyped-def]
    file, toml = written(tmp_path, trace, fleet)
    flags = (*ttft, *tpot, *share, *workers, *link, *first, *more[0], *more[1])
    ask(capfd, monkeypatch, "disaggregate", file, "--fleet", toml, "--jobs", "1", *flags)


@given(
    trace=traces(),
    workers=st.sampled_from(["1", "2", "1,3"]),
    slots=option("--slots", "1", "2", "64"),
    load=option("--load", "0.01", "1.0"),
    pool=option("--pool", "1", "4"),
    as_json=flag,
)
@fuzzed
def test_bench_routing(tmp_path, capfd, monkeypatch, trace, workers, slots, load, pool, as_json) -> None:  # type: ignore[no-untyped-def]
    file, _ = written(tmp_path, trace, read_fleet("llama-3.1-8b-h100"))
    policies = "round_robin,least_kv,power_of_two,bf_io,priced_holes"
    flags = ("--policies", policies, *slots, *load, *pool, *as_json)
    ask(capfd, monkeypatch, "bench", "routing", file, "--workers", workers, *flags)


@given(
    counts=st.lists(st.lists(st.sampled_from([0, 0, 1, 7, 1000]), min_size=6, max_size=6), min_size=1, max_size=4),
    layers=st.integers(1, 2),
    size=st.tuples(st.sampled_from(["1", "2", "3", "8"]), st.sampled_from(["0", "1", "2", "6"])),
    quantile=option("--quantile", "0.5", "1"),
    dispatch=option("--dispatch", "even", "optimal"),
    as_json=flag,
)
@fuzzed
def test_experts(tmp_path, capfd, monkeypatch, counts, layers, size, quantile, dispatch, as_json) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "loads.json"
    file.write_text(json.dumps({"logical_count": [[row] * layers for row in counts]}))
    flags = ("--gpus", size[0], "--redundant", size[1], "--effort", "0.01", *quantile, *dispatch, *as_json)
    ask(capfd, monkeypatch, "experts", str(file), *flags)


@given(trace=traces(), as_json=flag, spread=st.sampled_from([[], ["--no-spread-buckets"]]))
@fuzzed
def test_trace_describe(tmp_path, capfd, monkeypatch, trace, as_json, spread) -> None:  # type: ignore[no-untyped-def]
    file, _ = written(tmp_path, trace, read_fleet("llama-3.1-8b-h100"))
    ask(capfd, monkeypatch, "trace", "describe", file, *spread, *as_json)


@given(trace=traces(), fleet=fleets(), load=option("--load", "0.5", "1.3"))
@settings(fuzzed, max_examples=4)
def test_a_page_of_an_audit(tmp_path, capfd, monkeypatch, trace, fleet, load) -> None:  # type: ignore[no-untyped-def]
    file, toml = written(tmp_path, trace, fleet)
    page = tmp_path / "page.html"
    page.unlink(missing_ok=True)
    ask(capfd, monkeypatch, "audit", file, "--fleet", toml, "--drop-oversized", "--report", str(page), *load)
    if page.exists():
        text = re.sub(r"<style.*?</style>|<svg.*?</svg>", "", page.read_text(), flags=re.DOTALL)
        assert not FOREIGN.search(text)
        assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", page.read_text().split("<svg", 1)[-1].lower())
