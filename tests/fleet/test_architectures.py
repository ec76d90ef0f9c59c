"""Public models of vLLM's registry: KV per token, state per sequence, parameters and weights as computed by hand."""

import json
from pathlib import Path

import pytest
from architecture import Architecture
from dense_architectures import ARCHITECTURES as DENSE
from expert_architectures import ARCHITECTURES as WITH_EXPERTS
from hybrid_architectures import ARCHITECTURES as HYBRID
from latent_architectures import ARCHITECTURES as LATENT
from plain_mlp_architectures import ARCHITECTURES as PLAIN_MLP

from shadowprice.fleet import read_model

TABLE = (*DENSE, *PLAIN_MLP, *WITH_EXPERTS, *LATENT, *HYBRID)


def test_the_table_has_sixty_architectures() -> None:
    assert len({row.architecture for row in TABLE}) >= 60


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_a_public_model_is_read_as_computed_by_hand(row: Architecture, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(row.config))
    model = read_model(tmp_path)
    assert model.kv_bytes_per_token() == row.kv
    assert model.state_bytes() == row.state
    # Norms and biases, which the table leaves out, are less than a thousandth.
    assert model.parameters == pytest.approx(row.parameters, rel=1e-3)
    assert model.active_parameters == pytest.approx(row.active, rel=2e-3)
    assert model.weight_bytes() == pytest.approx(row.weights, rel=1e-3)
