"""What workers' metrics say of their KV memory: the right size, or none."""

from pathlib import Path

import pytest

from shadowprice.router.fleet.report import read_report

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "router"
HYBRID = b'vllm:cache_config_info{block_size="528",mamba_block_size="1024",num_gpu_blocks="4000",engine="0"} 1.0\n'
PLAIN = HYBRID.replace(b'"1024"', b'"None"').replace(b"}", b',sliding_window="None",mamba_page_size_padded="None"}')
SGLANG = b"""sglang:max_total_num_tokens{model_name="m",dp_rank="0"} 400000.0
sglang:max_total_num_tokens{model_name="m",dp_rank="1"} 300000.0
sglang:cache_config_info{page_size="64",num_pages="10",dp_rank="0"} 1.0
sglang:num_running_reqs{model_name="m",dp_rank="0"} 3.0
sglang:num_queue_reqs{model_name="m",dp_rank="0"} 2.0
sglang:token_usage{model_name="m",dp_rank="0"} 0.5
"""
TRTLLM = b"""trtllm_num_requests_running{model="m"} 3.0
trtllm_num_requests_waiting{model="m"} 1.0
trtllm_kv_cache_utilization{model="m"} 0.25
trtllm_kv_cache_max_blocks{model="m"} 6240
trtllm_kv_cache_tokens_per_block{model="m"} 32
"""
TRITON = b"""nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 2
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 5
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.75
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="free",model="tensorrt_llm",version="1"} 6239
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 6240
"""


@pytest.mark.parametrize("rank", [None, 0])
def test_a_size_in_tokens_is_believed_before_blocks(rank: int | None) -> None:
    report = read_report((CASES / "m_hybrid_320x8.txt").read_bytes(), rank)
    assert (report.capacity_tokens, report.source) == (463_459, "kv_cache_size_tokens")


@pytest.mark.parametrize("label", [b'mamba_block_size="8"', b'mamba_page_size_padded="4096"', b'sliding_window="128"'])
def test_blocks_of_a_hybrid_model_are_no_size(label: bytes) -> None:
    text = (CASES / "m_hybrid_320x8.txt").read_bytes().replace(b'kv_cache_size_tokens="463459"', label)
    report = read_report(text, 0)
    assert report.capacity_tokens is None and "hybrid" in report.source
    assert read_report(HYBRID, None).capacity_tokens is None
    assert read_report(PLAIN, None)[2:] == (528 * 4000, "blocks times their size")


def test_each_rank_has_its_own_and_all_have_the_sum() -> None:
    text = (CASES / "m_vllm_dp8.txt").read_bytes()
    assert [read_report(text, rank).capacity_tokens for rank in (None, 0, 7)] == [8 * 320_000, 320_000, 320_000]
    assert [read_report(SGLANG, rank)[2:] for rank in (None, 1)] == [
        (700_000, "max_total_num_tokens"),
        (300_000, "max_total_num_tokens"),
    ]
    pages = b"\n".join(line for line in SGLANG.splitlines() if b"max_total" not in line)
    assert read_report(pages, 0).capacity_tokens == 640


def test_tensorrt_llm_is_understood_under_both_of_its_servers() -> None:
    assert read_report(TRTLLM, None) == (4, 0.25, 6240 * 32, "blocks times their size")
    assert read_report(TRITON, None) == (7, 0.75, 6240 * 64, "blocks times their size")
    assert read_report(SGLANG, 0)[:2] == (5, 0.5)
    assert read_report(b"", None) == (None, None, None, "")
