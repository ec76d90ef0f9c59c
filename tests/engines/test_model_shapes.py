"""Every type that is read has as many parameters as transformers' own model of its default config."""

import json
from pathlib import Path

import pytest
from ask_engine import ask_engine

from shadowprice.errors import FleetError
from shadowprice.fleet.config.families import FAMILIES
from shadowprice.fleet.model_config import model_from_config

# Their classes' defaults leave out what published files say, and the table does not guess it.
SILENT = {"bamba", "deepseek_v2", "dots1", "glm4_moe", "lfm2"}
# The class makes weights for the experts that do nothing; with encoders the decoder alone is made.
COUNTED_OTHERWISE = {"longcat_flash", "qwen3_5", "qwen3_5_moe"}


def test_parameters_are_those_of_the_models_themselves(engine_python: Path, tmp_path: Path) -> None:
    question, answers = tmp_path / "types.json", tmp_path / "parameters.json"
    question.write_text(json.dumps(sorted(FAMILIES)))
    ask_engine([engine_python, Path(__file__).with_name("count_parameters.py"), question, answers])
    compared = []
    for kind, config, parameters in json.loads(answers.read_text()):
        if kind in SILENT:
            with pytest.raises(FleetError):
                model_from_config(config, kind)
        elif kind not in COUNTED_OTHERWISE:
            assert model_from_config(config, kind).parameters == pytest.approx(parameters, rel=5e-3), kind
            compared.append(kind)
    assert len(compared) >= 75
