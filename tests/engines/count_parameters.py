"""Counts the parameters of transformers' models without weights: `python count_parameters.py TYPES.json ANSWERS.json`.

TYPES is a list of model_types; an answer is [model_type, config.json, parameters] for each that has a causal decoder.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

warnings.simplefilter("ignore")
logging.disable(logging.ERROR)
answers = []
for kind in json.loads(Path(sys.argv[1]).read_text()):
    try:
        config = CONFIG_MAPPING[kind]()
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception:  # no such type, no causal decoder, or a class that cannot be made from its own defaults
        continue
    written = json.loads(json.dumps(config.to_dict(), default=str))
    answers.append([kind, written, sum(p.numel() for p in model.parameters())])
Path(sys.argv[2]).write_text(json.dumps(answers))
