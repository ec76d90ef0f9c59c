"""What a sequence keeps and what a step reads of it follow from the model's layers, in units of KV tokens."""

from pathlib import Path

import numpy as np
import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import MODELS, Worker, read_fleet
from shadowprice.fleet.layers import Mixer
from shadowprice.fleet.models import Model
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.token_curve import TokenCurve, kept_curve, read_curve, token_bytes

FULL = Mixer(4, 100, kv_heads=2, kv_dim=16, attention_dim=64)
SLIDING = Mixer(12, 100, kv_heads=2, kv_dim=16, window=100, attention_dim=64)
STATE = Mixer(6, 100, state_bytes=6400)
SPARSE = Mixer(8, 100, kv_dim=64, reads=50, index_bytes=12, attention_dim=64)
BORROWED = Mixer(4, 100, kv_heads=2, kv_dim=16, kept=False, attention_dim=64)


def model(*mixers: Mixer) -> Model:
    return Model("made", 64, 16, 4, 2, 16, 0, 1000, mixers=mixers)


@pytest.mark.parametrize(
    "mixers", [(FULL,), (FULL, SLIDING), (FULL, STATE), (FULL, SLIDING, STATE), (SPARSE,), (FULL, BORROWED)]
)
@pytest.mark.parametrize("gpus", [1, 2])
def test_curves_are_the_model_s_bytes_in_units_of_a_token(mixers: tuple[Mixer, ...], gpus: int) -> None:
    made = model(*mixers)
    unit = token_bytes(made, "bf16", gpus)
    for name, bytes_of in (("kept", made.kv_bytes), ("read", made.read_bytes)):
        curve = (kept_curve if name == "kept" else read_curve)(made, "bf16", gpus) or TokenCurve()
        for n in (1, 49, 50, 51, 99, 100, 101, 5000):
            assert curve.of(n) * unit == pytest.approx(bytes_of(n, "bf16", gpus)), (name, n)


def test_a_plain_model_has_no_curve_and_a_model_of_states_alone_holds_a_block_a_sequence() -> None:
    llama = MODELS["llama-3.1-8b"]
    assert kept_curve(llama, "bf16", 2) is None and read_curve(llama, "bf16", 2) is None
    kept = kept_curve(model(STATE), "bf16", 1)
    worker = Worker(StepTime(1.0, 0, 0, 0), kv_tokens=160, kept=kept)
    assert list(worker.blocks_of([0, 1, 10, 100_000])) == [0, 1, 1, 1]


def test_a_curve_s_sums_are_its_sums() -> None:
    curve = TokenCurve(3.5, 0.25, 0.75, 12)
    for n in (0, 1, 11, 12, 13, 400):
        assert curve.sum_to(n) == pytest.approx(curve.of(np.arange(1, n + 1)).sum())


def test_a_fleet_of_a_hybrid_has_curves_unless_the_file_says_plain_tokens(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    made = '[gpu]\nname = "H100"\n[model]\nname = "gpt-oss-20b"\n'
    path.write_text(made)
    worker = read_fleet(path).worker
    assert worker.kept == worker.read == TokenCurve(0.0, 0.5, 0.5, 128)
    path.write_text(made + "[worker]\nkept = false\nread = false\n")
    assert read_fleet(path).worker.is_plain
    path.write_text(made + "[worker]\ncontext_tokens = 4000\n")  # kv_tokens are then those of that length
    assert read_fleet(path).worker.kept is None
    path.write_text(made + "[worker]\nkept = 3\n")
    with pytest.raises(FleetError, match=r"worker\.kept is 3; expected a table, or false"):
        read_fleet(path)


def test_long_requests_of_a_sliding_model_fit_more_at_once() -> None:
    plain, sliding = (Worker(StepTime(1.0, 0, 0, 0), kept=kept) for kept in (None, TokenCurve(0.0, 0.5, 0.5, 128)))
    assert sliding.blocks_of(10_000) == -(-(5000 + 64) // 16) < plain.blocks_of(10_000)
