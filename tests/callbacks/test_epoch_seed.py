import random
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from videowino.callbacks import EpochSeed


class Draws(pl.Callback):
    def __init__(self):
        self.epochs, self.batches = [], []

    @staticmethod
    def draw():
        return (random.random(), np.random.rand(), torch.rand(()).item())

    def on_train_epoch_start(self, *args):
        self.epochs.append(self.draw())

    def on_train_batch_start(self, *args):
        self.batches.append(self.draw())


def draws(make_classifier, make_trainer, data, seed, disturb=0):
    draws = Draws()
    torch.manual_seed(disturb)
    trainer = make_trainer(callbacks=[EpochSeed(seed), draws], limit_val_batches=disturb)
    trainer.fit(make_classifier(dropout=0.5), datamodule=data)
    return draws.epochs + draws.batches


def test_draws_depend_on_seed_and_place_alone(make_classifier, make_trainer, data):
    args = (make_classifier, make_trainer, data)
    first = draws(*args, seed=3)
    assert len(set(first)) == len(first) == 2 + 6
    assert draws(*args, seed=3, disturb=1) == first
    assert not set(draws(*args, seed=4)) & set(first)


def test_processes_draw_each_their_own():
    drawn = []
    for rank in (0, 1, 1):
        trainer = SimpleNamespace(current_epoch=2, global_rank=rank)
        EpochSeed(3).on_train_batch_start(trainer, None, None, 5)
        drawn.append(Draws.draw())
    assert drawn[0] != drawn[1] == drawn[2]


def test_negative_seed():
    with pytest.raises(ValueError, match="seed=-1: must be 0 or more"):
        EpochSeed(-1)
