"""Asks vLLM for its limits on GPUs that are not here: `python default_limits.py GPUS.json ANSWERS.json`."""

import json
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

from vllm.engine import arg_utils
from vllm.usage.usage_lib import UsageContext

answers = []
for name, hbm_bytes in json.loads(Path(sys.argv[1]).read_text()):
    platform = mock.Mock(**{"is_tpu.return_value": False, "is_cpu.return_value": False})
    platform.get_device_total_memory.return_value = hbm_bytes
    platform.get_device_name.return_value = name
    with mock.patch.object(arg_utils, "current_platform", platform):
        tokens, sequences = arg_utils.EngineArgs.get_batch_defaults(1)
    answers.append([sequences[UsageContext.OPENAI_API_SERVER], tokens[UsageContext.OPENAI_API_SERVER]])
Path(sys.argv[2]).write_text(json.dumps(answers))
