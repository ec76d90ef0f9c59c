"""Settings that cannot be meant are refused, by the name of the flag."""

from typing import Any

import pytest

from shadowprice.errors import PolicyError, RouterError
from shadowprice.router.decide.queue_order import QueueOrder
from shadowprice.router.settings import Settings


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"request_timeout_s": float("nan")}, "--request-timeout-secs is nan"),
        ({"queue_timeout_s": float("inf")}, "--queue-timeout-secs is inf"),
        ({"connect_timeout_s": 0.0}, "--connect-timeout-secs is 0.0; expected a number, at least 0.01"),
        ({"drain_timeout_s": -1.0}, "--shutdown-grace-period-secs is -1.0"),
        ({"max_wait_s": -1.0}, "--max-wait is -1.0"),
        ({"max_num_seqs": 0}, "--max-num-seqs is 0"),
        ({"port": 70000}, "--port is 70000"),
        ({"record": "a.jsonl", "processes": 2}, "--record a.jsonl with --processes 2; expected a .parquet file"),
        ({"health_check_endpoint": "health"}, "expected a path like /health"),
        ({"health_check_endpoint": "/a b"}, "expected a path like /health"),
        ({"otlp_traces_endpoint": "collector:4318"}, "expected http://host:port/v1/traces"),
        ({"worker_urls": ("127.0.0.1:8000",)}, "expected http://host:port"),
        ({"worker_urls": ("127.0.0.1:8000",)}, "--worker-urls: worker URL '127.0.0.1:8000'"),
        ({"worker_urls": ("http://a b:1",)}, "--worker-urls: worker URL 'http://a b:1': a space or control character"),
        ({"worker_urls": ("http://a:1/x\r\ny",)}, "a space or control character"),
        ({"worker_urls": ("http://a:1", "http://a:1/")}, "--worker-urls: http://a:1/ stands there twice"),
        ({"host": ""}, "--host is empty"),
        ({"prometheus_host": ""}, "--prometheus-host is empty"),
        ({"api_keys": ("",)}, "--api-key (or SHADOWPRICE_API_KEY) is an empty key"),
        ({"api_keys": ("good", "two words")}, "--api-key (or SHADOWPRICE_API_KEY) is a key of 9 characters, not all"),
        ({"worker_api_key": ""}, "--worker-api-key (or SHADOWPRICE_WORKER_API_KEY) is an empty key"),
        ({"worker_api_key": "key\n"}, "--worker-api-key (or SHADOWPRICE_WORKER_API_KEY) is a key of 4 characters"),
        ({"worker_urls": ("http://gpu1:8000/v1",)}, "clients' paths begin with /v1 already"),
        ({"worker_urls": ("http://gpu1:8000/v1/@2",)}, "clients' paths begin with /v1 already"),
    ],
)
def test_an_impossible_setting_is_an_error(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(RouterError) as caught:
        Settings(**setting)
    assert said in str(caught.value)


def test_a_policy_that_is_nearly_one_is_suggested() -> None:
    with pytest.raises(PolicyError, match="did you mean 'priced_holes'"):
        Settings(policy="priced_hole")
    with pytest.raises(PolicyError, match="did you mean 'fcfs'"):
        QueueOrder("fcf", 30.0)
