from itertools import pairwise

import numpy as np
import pytest
from trace_files import MEASURED, real

from shadowprice.errors import TraceError
from shadowprice.workload import read_measured, read_trace


def test_both_clocks_are_put_on_one_axis_from_the_first_arrival(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(MEASURED)
    log = read_measured(path)
    # delays from arrival to queue are 1.002 - 0.5 and 1.001 - 0.5 apart from the clocks' offset: the second is fastest
    np.testing.assert_allclose(log.trace.arrival_s, [0, 1])
    np.testing.assert_allclose(log.queued_s, [0.001, 1.0], atol=1e-9)
    np.testing.assert_allclose(log.first_token_s - log.queued_s, [0.398, 0.249])
    np.testing.assert_allclose(log.last_token_s - log.scheduled_s, [2.997, 15.999])


@pytest.mark.parametrize("gpu", ["RTX4090", "RTXPRO6000"])
def test_real_logs_keep_the_order_of_events(gpu):
    path = real(f"extras/vllm_measured_{gpu}_Llama-3.1-8B.jsonl")
    log = read_measured(path)
    stamps = [log.trace.arrival_s, log.queued_s, log.scheduled_s, log.first_token_s, log.last_token_s]
    for before, after in pairwise(stamps):
        assert np.all(before <= after + 1e-6)
    assert log.trace.arrival_s[0] == 0 and len(log.trace) == 300
    assert (log.queued_s - log.trace.arrival_s).min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(read_trace(path).arrival_s, log.trace.arrival_s)


def test_events_out_of_order_are_bad_rows(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(MEASURED.replace(b"28.25", b"27.25"))
    with pytest.raises(TraceError, match=r":2: first_token_ts is 27.25; expected a time no earlier than scheduled_ts"):
        read_measured(path)
    log = read_measured(path, skip_bad_rows=True)
    assert len(log.trace) == 1 and log.trace.skipped_rows == 1 and log.queued_s == pytest.approx(0)


def test_a_file_of_another_form_is_an_error(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(TraceError, match=r"log\.jsonl: not a measured log; expected .*input_toks"):
        read_measured(path)
