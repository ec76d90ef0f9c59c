"""Limits that a fleet leaves out are those that the real vLLM takes on each GPU."""

import json
from pathlib import Path

from ask_engine import ask_engine

from shadowprice.fleet import GPUS
from shadowprice.fleet.engine_limits import default_limits


def test_vllm_takes_the_same_limits_on_every_gpu(engine_python: Path, tmp_path: Path) -> None:
    question, answers = tmp_path / "gpus.json", tmp_path / "limits.json"
    question.write_text(json.dumps([(gpu.name, gpu.hbm_bytes) for gpu in GPUS.values()]))
    ask_engine([engine_python, Path(__file__).with_name("default_limits.py"), question, answers])
    ours = [default_limits(gpu) for gpu in GPUS.values()]
    assert [[o.max_num_seqs, o.max_num_batched_tokens] for o in ours] == json.loads(answers.read_text())
