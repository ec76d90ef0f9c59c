"""Our EPLB gives the slots that DeepSeek's and vLLM's give."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from shadowprice.errors import ExpertError
from shadowprice.experts import eplb
from shadowprice.experts.eplb import pack, replicate

ENGINE = Path(__file__).resolve().parents[2] / ".venv-engines"

# the example in the README of github.com/deepseek-ai/EPLB
WEIGHT = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]
SLOTS = [[5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1], [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1]]


def test_published_example_slot_by_slot() -> None:
    assert eplb(WEIGHT, 16, gpus=8, groups=4, nodes=2).expert_of_slot.tolist() == SLOTS


def test_global_where_groups_do_not_divide_over_nodes() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 1000, (3, 12))
    assert np.array_equal(eplb(weight, 16, 4, groups=3, nodes=2).expert_of_slot, eplb(weight, 16, 4).expert_of_slot)


def test_hierarchical_keeps_each_group_on_one_node() -> None:
    weight = np.random.default_rng(1).integers(1, 1000, (5, 16))
    placement = eplb(weight, 24, gpus=4, groups=4, nodes=2)
    on_node = placement.holds().reshape(5, 4, 4, 2, 2).any(axis=(2, 4))
    assert np.all(on_node.sum(axis=2) == 1)


def test_pack_gives_every_pack_the_same_number_and_replicate_the_hottest_more() -> None:
    packed = pack(np.array([5.0, 1.0, 4.0, 2.0, 3.0, 6.0]), 2)
    assert packed.tolist() == [[5, 4, 3], [0, 2, 1]]
    item, copies = replicate(np.array([10.0, 1.0, 4.0]), 6)
    assert item.tolist() == [0, 1, 2, 0, 0, 2]
    assert copies.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 4), "8 slots for 12 experts"),
        ((14, 4), "14 slots do not divide over 4 GPUs"),
        ((12, 3, 2, 2), "3 GPUs do not divide over 2 nodes"),
        ((15, 5, 5, 5), "12 experts do not divide over 5 groups"),
    ],
)
def test_what_does_not_divide_is_an_error(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ExpertError, match=message):
        eplb(WEIGHT, *arguments)


VLLM = """
import importlib.util, json, pathlib, sys, types
import numpy as np, torch
folder = pathlib.Path(importlib.util.find_spec("vllm").submodule_search_locations[0]) / "distributed/eplb/policy"
package = types.ModuleType("policy"); package.__path__ = [str(folder)]; sys.modules["policy"] = package
from importlib import import_module
policy = import_module("policy.default").DefaultEplbPolicy
for case in json.load(sys.stdin):
    weight = torch.tensor(case["weight"])
    found = policy.rebalance_experts(weight, case["slots"], case["groups"], case["nodes"], case["gpus"])
    print(json.dumps(found.tolist()))
"""


@pytest.mark.skipif(not ENGINE.exists(), reason="needs vLLM's own EPLB in .venv-engines (make test-engines)")
def test_same_slots_as_vllm() -> None:
    rng = np.random.default_rng(2)
    sizes = [(32, 40, 8, 1, 1), (64, 96, 16, 8, 2), (256, 288, 32, 8, 4), (16, 16, 4, 1, 1)]
    cases = [
        {"weight": rng.integers(0, 9999, (2, e)).tolist(), "slots": s, "gpus": gpus, "groups": groups, "nodes": nodes}
        for e, s, gpus, groups, nodes in sizes
    ]
    done = subprocess.run(
        [ENGINE / "bin" / "python", "-c", VLLM], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    for case, line in zip(cases, done.stdout.splitlines(), strict=True):
        ours = eplb(case["weight"], case["slots"], case["gpus"], case["groups"], case["nodes"])
        assert ours.expert_of_slot.tolist() == json.loads(line)
