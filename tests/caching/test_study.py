"""The study behind `shadowprice cache`: what is printed lies between today's policy and the bound."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from shadowprice.caching import PrefillCost
from shadowprice.caching.study import compare_policies
from shadowprice.cli import app
from shadowprice.errors import PolicyError, TraceError
from shadowprice.fleet import read_fleet
from shadowprice.workload.trace import Ragged, Trace

FLEET = read_fleet("llama-3.1-8b-h100")


def conversations(sessions: int = 40, turns: int = 6) -> Trace:
    """Sessions that take turns, each turn with one more block than the last."""
    prompts = [[1] + [100 * s + t for t in range(turn + 1)] for turn in range(turns) for s in range(2, sessions + 2)]
    n = len(prompts)
    prefix = Ragged.from_lengths(np.concatenate([np.array(p) for p in prompts]), [len(p) for p in prompts])
    lengths = np.array([512 * len(p) for p in prompts])
    return Trace(np.arange(n) * 2.0, lengths, np.full(n, 10), prefix=prefix, prefix_block_tokens=512, name="talk")


def test_every_row_lies_below_the_bound_and_the_bound_below_everything() -> None:
    study = compare_policies(conversations(), FLEET, shares=(0.1, 0.5, 1.0))
    for row in study.rows:
        assert 0 <= row.saved_share <= row.bound_share + 1e-9 <= 1
        assert row.found_share <= row.bound_share + 1e-9
    whole = [row for row in study.rows if row.size_share > 0.99 and row.policy in ("lru", "reuse_index")]
    assert all(row.saved_share == pytest.approx(row.bound_share) for row in whole)
    assert study.prices[0].seconds_per_gib_hour > 0
    assert study.prices[-1].seconds_per_gib_hour == pytest.approx(0, abs=1e-9)


def test_a_block_behind_a_long_prompt_costs_more() -> None:
    cost = PrefillCost.of_fleet(FLEET)
    near, far = cost.block_s(np.array([0, 100_000]), 512)
    assert near >= 512 * FLEET.worker.step_time.per_prefill_token_s
    assert far > 1.5 * near


def test_a_trace_without_anything_shared_is_refused_by_what_it_lacks() -> None:
    plain = Trace(np.arange(3.0), np.full(3, 10), np.full(3, 10), name="plain")
    with pytest.raises(TraceError, match="plain: nothing says what its prompts share; expected hashes"):
        compare_policies(plain, FLEET)
    with pytest.raises(PolicyError, match="unknown caching policy 'lur'"):
        compare_policies(conversations(), FLEET, policies=["lur"])
    with pytest.raises(TraceError, match="holds no block"):
        compare_policies(conversations(), FLEET, sizes_bytes=[100])


def test_the_verb_prints_the_rows_that_its_document_names(tmp_path) -> None:
    path = tmp_path / "talk.jsonl"
    trace = conversations()
    lines = [
        {
            "timestamp": int(1000 * t),
            "input_length": int(s),
            "output_length": 10,
            "hash_ids": trace.prefix[i].tolist(),
        }
        for i, (t, s) in enumerate(zip(trace.arrival_s, trace.prompt_tokens, strict=True))
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    arguments = ["cache", str(path), "--sizes", "10%,50%", "--policy", "lru", "--policy", "reuse-index", "--json"]
    answer = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert len(answer["rows"]) == 4
    names = ("trace", "policy", "size_bytes", "size_share", "saved_s", "saved_share", "bound_share", "found_share")
    assert set(answer["rows"][0]) == set(names)
    assert set(answer["prices"][0]) == {"size_bytes", "seconds_per_gib_hour"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "many"], "--size is 'many'; expected a size > 0 like 30GiB"),
        (["--sizes", "0.5%,x"], "--sizes has 'x'; expected shares in (0, 1]"),
        (["--sizes", "150%"], "--sizes has '150%'"),
        (["--plot", "savings.txt"], "savings.txt: expected a name that ends in .svg"),
    ],
)
def test_flags_that_mean_nothing_are_refused_before_the_work(flags: list[str], message: str) -> None:
    from shadowprice.errors import ShadowpriceError

    with pytest.raises(ShadowpriceError) as caught:
        CliRunner().invoke(app, ["cache", "no-such-trace", *flags], catch_exceptions=False)
    assert message in str(caught.value)
