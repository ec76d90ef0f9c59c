"""Fleet files: presets, round trip, and every kind of bad file."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadowprice.errors import FleetError
from shadowprice.fleet import GPUS, MODELS, PRESETS, Fleet, StepTime, Worker, read_fleet, write_fleet
from shadowprice.fleet.derive import kv_tokens_that_fit
from shadowprice.fleet.files import fleet_toml

GIVEN = """
[step_time]
fixed_s = 0.005
per_sequence_s = 1e-5
per_kv_token_s = 4e-8
per_prefill_token_s = 2e-5
"""
WORKER = "[worker]\nkv_tokens = 1000\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text)
    return path


def test_the_llama_8b_h100_preset_is_the_documented_one() -> None:
    fleet = read_fleet("llama-3.1-8b-h100")
    assert fleet.worker == Worker(StepTime(6.35e-3, 1.12e-5, 4.13e-8, 1.96e-5), 1024, 8192, 262_144, 16)
    assert (fleet.workers, fleet.gpus, fleet.gpu, fleet.model) == (1, 1, GPUS["H100"], MODELS["llama-3.1-8b"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_named_after_its_file_and_fits_in_memory(name: str) -> None:
    fleet = read_fleet(name)
    assert fleet.name == name
    assert fleet.worker.kv_tokens <= kv_tokens_that_fit(fleet)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_writing_and_reading(name: str, tmp_path: Path) -> None:
    fleet = read_fleet(name)
    write_fleet(fleet, tmp_path / "fleet.toml")
    assert read_fleet(tmp_path / "fleet.toml") == fleet


finite = st.floats(0, 1e3)
texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
fleets = st.builds(
    Fleet,
    name=texts,
    workers=st.integers(1, 10**6),
    worker=st.builds(
        Worker,
        step_time=st.builds(StepTime, st.floats(1e-9, 1e3), finite, finite, finite),
        max_num_seqs=st.integers(1, 10**6),
        max_num_batched_tokens=st.integers(1, 10**6),
        kv_tokens=st.integers(100, 10**9),
        block_size=st.integers(1, 100),
    ),
    gpu=st.none()
    | st.sampled_from(list(GPUS.values()))
    | st.builds(replace, st.sampled_from(list(GPUS.values())), usd_per_hour=st.none() | st.floats(0.01, 100)),
    model=st.none()
    | st.sampled_from(list(MODELS.values()))
    | st.builds(replace, st.sampled_from(list(MODELS.values())), name=texts, dtype=st.sampled_from(["bf16", "fp8"])),
    tensor_parallel_size=st.integers(1, 64),
    gpu_memory_utilization=st.floats(0.01, 1),
    kv_cache_dtype=st.sampled_from(["bf16", "fp8"]),
    idle_power_w=st.none() | st.floats(0, 100),
    peak_power_w=st.none() | st.floats(100, 1e4),
    step_time_note=texts,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fleet=fleets)
def test_any_fleet_survives_writing_and_reading(fleet: Fleet, tmp_path: Path) -> None:
    write_fleet(fleet, tmp_path / "fleet.toml")
    assert read_fleet(tmp_path / "fleet.toml") == fleet


def test_step_time_and_kv_tokens_follow_from_gpu_and_model(tmp_path: Path) -> None:
    fleet = read_fleet(write(tmp_path, '[gpu]\nname = "h100"\n[model]\nname = "Llama-3.1-8B"\n'))
    assert fleet.gpu == GPUS["H100"] and fleet.model == MODELS["llama-3.1-8b"]
    assert fleet.worker.kv_tokens == kv_tokens_that_fit(fleet)
    assert fleet.step_time_note.startswith("roofline of 1 x H100")
    assert fleet.name == "fleet"


def test_a_limit_in_the_file_changes_what_follows_from_it(tmp_path: Path) -> None:
    text = '[gpu]\nname = "H100"\n[model]\nname = "llama-3.1-8b"\n[worker]\ngpu_memory_utilization = {}\n'
    low, high = (read_fleet(write(tmp_path, text.format(share))).worker.kv_tokens for share in (0.5, 0.9))
    assert low < high


def test_a_preset_can_be_changed_in_one_key(tmp_path: Path) -> None:
    gpu, model = '[gpu]\nname = "H100"\nusd_per_hour = 2.5\n', '[model]\nname = "llama-3.1-8b"\ndtype = "fp8"\n'
    fleet = read_fleet(write(tmp_path, gpu + model))
    assert fleet.gpu == replace(GPUS["H100"], usd_per_hour=2.5)
    assert fleet.model == replace(MODELS["llama-3.1-8b"], dtype="fp8")


def test_config_path_starts_from_the_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    config = '{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}'
    (tmp_path / "models" / "config.json").write_text(config)
    fleet = read_fleet(write(tmp_path, '[gpu]\nname = "L4"\n[model]\nconfig = "models/config.json"\n'))
    assert fleet.model is not None and fleet.model.hidden_size == 64


def test_power_is_the_files_or_the_data_sheets(tmp_path: Path) -> None:
    sheet = read_fleet("llama-3.1-70b-h100-tp4")
    assert sheet.worker_power_w == (None, 2800.0)
    assert replace(sheet, idle_power_w=300.0, peak_power_w=2000.0).worker_power_w == (300.0, 2000.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "step_time.fixed_s is missing; give it, or give both"),
        (GIVEN, "worker.kv_tokens is missing; give it, or give both"),
        ("workers = ", "not TOML: Invalid value"),
        (GIVEN + "[worker]\nkv_token = 5", "unknown key 'worker.kv_token'; did you mean 'kv_tokens'?"),
        (GIVEN + "[wroker]\nkv_tokens = 5", r"unknown section \[wroker\]; did you mean 'worker'?"),
        ("worker_count = 5", "unknown key 'worker_count'; did you mean 'workers'?"),
        ("worker = 5", r"worker is 5; expected a section \[worker\]"),
        (GIVEN + "[worker]\nkv_tokens = 0", "worker.kv_tokens is 0; expected a whole number >= 1"),
        (GIVEN + "[worker]\nkv_tokens = 1.5", "worker.kv_tokens is 1.5"),
        (GIVEN + "[worker]\nkv_tokens = true", "worker.kv_tokens is True"),
        (GIVEN + "[worker]\nkv_tokens = 10000000000000000", "expected a whole number from 0 to 1e15"),
        (GIVEN + "[worker]\nkv_tokens = 9\nblock_size = 16", "kv_tokens is 9; expected at least one block of 16"),
        (GIVEN + WORKER + "tensor_parallel_size = 0", "tensor_parallel_size is 0"),
        (GIVEN + WORKER + "gpu_memory_utilization = 1.5", "gpu_memory_utilization is 1.5; expected 0 < share <= 1"),
        (GIVEN + WORKER + 'kv_cache_dtype = "fp9"', "kv_cache_dtype is 'fp9'; did you mean 'fp8'?"),
        (GIVEN + WORKER + "async_scheduling = 1", "worker.async_scheduling is 1; expected true or false"),
        ("workers = 0" + GIVEN + WORKER, "workers is 0"),
        ("name = 3" + GIVEN + WORKER, "name is 3; expected a text"),
        (GIVEN.replace("0.005", "nan") + WORKER, "step_time.fixed_s is nan; expected a finite number >= 0"),
        (GIVEN.replace("0.005", "-1") + WORKER, "step_time.fixed_s is -1"),
        (GIVEN.replace("0.005", "0") + WORKER, "step_time.fixed_s is 0"),
        (GIVEN.replace("fixed_s = 0.005", "") + WORKER, "step_time.fixed_s is missing; expected a number of seconds"),
        (GIVEN + 'source = "roofline"\n' + WORKER, "fixed_s is given, but step_time.source is 'roofline'"),
        (GIVEN + 'source = "rooflin"\n' + WORKER, "step_time.source is 'rooflin'; did you mean 'roofline'?"),
        (GIVEN + 'backend = "vllm"\n' + WORKER, "backend is given, but step_time.source is 'given'"),
        ('[gpu]\nname = "H1000"' + GIVEN + WORKER, "unknown GPU 'H1000'; did you mean 'H100'?"),
        ('[gpu]\nhbm_bytes = 5' + GIVEN + WORKER, "gpu.name is missing"),
        ('[gpu]\nname = "H100"\npeak_power_w = 0' + GIVEN + WORKER, "gpu.peak_power_w is 0"),
        ('[model]\nname = "llama-8b"' + GIVEN + WORKER, "unknown model 'llama-8b'; did you mean 'llama-3.1-8b'?"),
        ('[model]\nconfig = "none.json"' + GIVEN + WORKER, "none.json: no such file"),
        ('[model]\ndtype = "fp8"' + GIVEN + WORKER, "model.name is missing"),
        ("[power]\nidle_power_w = 5\npeak_power_w = 3" + GIVEN + WORKER, "idle_power_w is 5.0, more than peak_power_w"),
        ('[gpu]\nname = "L4"\n[model]\nname = "deepseek-v3"', "does not fit on 1 x L4"),
        ("[[worker]]\nkv_tokens = 5", "expected a section"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_by_key(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FleetError, match=message) as caught:
        read_fleet(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_name_that_is_nothing_suggests_a_preset() -> None:
    with pytest.raises(FleetError, match=r"neither a file nor a preset; did you mean 'llama-3\.1-8b-h100'"):
        read_fleet("llama-8b-h100")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="cannot be read"):
        read_fleet(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(FleetError, match="not UTF-8 text at byte 8"):
        read_fleet(tmp_path / "latin.toml")
    with pytest.raises(FleetError, match="cannot be written"):
        write_fleet(read_fleet("llama-3.1-8b-h100"), tmp_path / "no" / "fleet.toml")


KEYS = st.sampled_from(
    ("name", "workers", "kv_tokens", "max_num_seqs", "block_size", "tensor_parallel_size", "source", "fixed_s",
     "backend", "hbm_bytes", "hidden_size", "num_hidden_layers", "num_experts", "dtype", "config", "idle_power_w")
)  # fmt: skip
VALUES = st.one_of(
    st.integers(-5, 10**16).map(str),
    st.floats().map(str),
    st.sampled_from(
        ['"H100"', '"llama-3.1-8b"', '"gpt-oss-20b"', '"roofline"', '"fp8"', "true", "[]", "{}", '"\\u0000"', "1e400"]
    ),
)
LINES = st.one_of(
    st.sampled_from(
        ["[gpu]", "[model]", "[worker]", "[step_time]", "[power]", '[gpu]\nname = "H200"', *GIVEN.split("\n\n")]
    ),
    st.builds("{} = {}".format, KEYS, VALUES),
)


def check_only_fleet_errors_escape(path: Path) -> None:
    try:
        fleet = read_fleet(path)
    except FleetError:
        return
    assert fleet.worker.step_time.fixed_s > 0


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12))
def test_no_arrangement_of_keys_escapes_as_another_error(lines: list[str], tmp_path: Path) -> None:
    check_only_fleet_errors_escape(write(tmp_path, "\n".join(lines)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_change_of_one_value_escapes_as_another_error(tmp_path: Path, data: st.DataObject) -> None:
    lines = fleet_toml(replace(read_fleet("llama-3.1-8b-h100"), model=replace(MODELS["deepseek-v3"], name="x"))).split(
        "\n"
    )
    lines = [line for line in lines if not line.startswith(("kv_tokens", "per_", "fixed_s", "source"))]
    row = data.draw(st.sampled_from([i for i, line in enumerate(lines) if "=" in line]))
    lines[row] = f"{lines[row].split('=')[0]} = {data.draw(VALUES)}"
    check_only_fleet_errors_escape(write(tmp_path, "\n".join(lines)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_no_bytes_escape_as_another_error(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_bytes(raw)
    check_only_fleet_errors_escape(tmp_path / "fleet.toml")


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    check_only_fleet_errors_escape(write(tmp_path, "x = " + "[" * 100_000))
