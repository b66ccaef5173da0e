import pytest
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from videowino.training.fully_sharded import FullySharded
from videowino.training.trainer_options import (
    as_many_as_launched,
    fit_errors,
    refuse_sharding,
    trainer_errors,
)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("`Trainer(devices=0)` value is not valid", r"^trainer\.devices=0 value is not valid$"),
        ("got `accelerator='x'`", r"^got trainer\.accelerator='x'$"),
        ("`max_epochs` must be -1", r"^trainer\.max_epochs must be -1$"),
        ("`devices` with `CPUAccelerator`", r"^trainer\.devices with `CPUAccelerator`$"),
        ("1.5 for limit_val_batches", r"^trainer\.limit_val_batches=1\.5: 1\.5 for limit_val_b"),
        ("No supported gpu backend", r"^trainer\.accelerator=gpu: No supported gpu backend$"),
        ("no name at all", "^trainer: no name at all$"),
    ],
)
def test_errors_have_full_names(said, message):
    options = {"limit_val_batches": 1.5, "accelerator": "gpu"}
    with pytest.raises(ValueError, match=message), trainer_errors(options):
        raise MisconfigurationException(said)


@pytest.mark.parametrize(
    ("launched", "devices", "expected"),
    [(True, "auto", 3), (True, 2, 2), (True, [0, 1], [0, 1]), (False, "auto", "auto")],
)
def test_devices_are_the_processes_that_torchrun_started(launched, devices, expected, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    if launched:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    else:
        monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    options = {"devices": devices}
    as_many_as_launched(options)
    assert options == {"devices": expected}


def test_what_lightning_takes_and_divides_by():
    with pytest.raises(ValueError, match=r"^trainer\.accumulate_grad_batches=0: at least 1$"):
        with trainer_errors({"accumulate_grad_batches": 0, "gradient_clip_val": None}):
            pass


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("`val_check_interval` (9) is more", r"^trainer\.val_check_interval \(9\) is more$"),
        ("data.split=4: no such list", r"^data\.split=4: no such list$"),
    ],
)
def test_errors_of_a_training(said, message):
    with pytest.raises(ValueError, match=message), fit_errors():
        raise ValueError(said)


@pytest.mark.parametrize(
    ("strategy", "named"),
    [
        ("fsdp", "fsdp"),
        ("fsdp_cpu_offload", "fsdp_cpu_offload"),
        ("deepspeed_stage_2", "deepspeed_stage_2"),
        (FSDPStrategy(), "FSDPStrategy"),
        (ModelParallelStrategy(), "ModelParallelStrategy"),
    ],
)
def test_split_parameters_are_refused(strategy, named):
    message = rf"^trainer\.strategy={named}: splits all .* choose ddp, or fully_sharded, .* whole$"
    with pytest.raises(ValueError, match=message):
        refuse_sharding(strategy)


@pytest.mark.parametrize(
    "strategy", ["auto", "ddp", DDPStrategy(), "fully_sharded", FullySharded()]
)
def test_those_that_leave_winograd_layers_whole_are_not(strategy):
    refuse_sharding(strategy)
