import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from benchmarks.study.filters import (
    Chain,
    FilterPruning,
    chains,
    choose_filters,
    shrink,
    zero_filters,
)
from videowino.models import create_model


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv3d(3, 8, 3, padding=1)
        self.pool = nn.MaxPool3d(2)
        self.b = nn.Conv3d(8, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(6)
        self.c = nn.Conv3d(6, 4, 3)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.pool(self.a(x)))
        x = self.c(self.norm(self.b(x)))
        return self.out(x.mean((2, 3, 4)))


def randomize(model):
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.5)
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def test_filters_go_where_one_convolution_alone_reads_them():
    assert chains(Plain()) == [Chain("a", None, "b"), Chain("b", "norm", "c")]
    model = create_model("r3d_10", 5, width=0.25, stem="small")
    found = chains(model)
    assert len(found) == 4  # one a block: the others' outputs go to the residual sum
    assert all(chain.conv.endswith("conv1.0") for chain in found)
    c3d = create_model("c3d", 5, width=0.125)
    assert len(chains(c3d)) == 7  # all but the last of eight


@pytest.mark.parametrize("backbone", ["r3d_10", "c3d"])
def test_taking_zero_filters_out_changes_nothing(backbone):
    model = randomize(create_model(backbone, 5, width=0.25, dropout=0.0))
    gone = choose_filters(model, 0.5)
    zero_filters(model, gone)
    clip = torch.randn(2, 3, 16, 112, 112)
    small = shrink(model)
    with torch.no_grad():
        torch.testing.assert_close(small(clip), model(clip), rtol=1e-4, atol=1e-4)
    modules, before = dict(small.named_modules()), dict(model.named_modules())
    for chain in chains(model):
        assert modules[chain.conv].out_channels == before[chain.conv].out_channels // 2
        assert modules[chain.reader].in_channels == before[chain.reader].in_channels // 2
    assert sum(p.numel() for p in small.parameters()) < 0.8 * sum(
        p.numel() for p in model.parameters()
    )


def test_those_of_least_norm_go():
    model = Plain()
    with torch.no_grad():
        model.b.weight.div_(model.b.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1))
        model.b.weight.mul_(torch.tensor([3.0, 1, 5, 2, 6, 4]).view(-1, 1, 1, 1, 1))
    gone = choose_filters(model, 0.5)
    assert gone["b"] == gone["norm"] == [0, 1, 3] and len(gone["a"]) == 4
    before = copy.deepcopy(model)
    zero_filters(model, {"b": [0], "norm": [0]})
    assert (model.b.weight[0] == 0).all() and model.norm.bias[0] == model.norm.weight[0] == 0
    assert torch.equal(model.b.weight[1:], before.b.weight[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, r"sparsity=1\.0: from 0 to below 1"),
        ({"start": 0.5, "end": 0.2}, r"start=0\.5, end=0\.2: fractions, in this order"),
        ({"every": 0}, "every=0: at least 1"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        FilterPruning(**options)


class ZeroFilters(pl.Callback):
    """How many filters of the first chain are zero after each step."""

    def __init__(self):
        self.counts = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        modules = dict(pl_module.model.named_modules())
        chain = chains(pl_module.model)[0]
        zero = modules[chain.conv].weight.flatten(1).abs().amax(1) == 0
        assert torch.equal(zero, modules[chain.norm].weight == 0)
        if self.counts:  # a bias begins with zero
            assert torch.equal(zero, modules[chain.norm].bias == 0)
        self.counts.append(int(zero.sum()))


def test_filters_go_on_the_schedule_of_columns_and_stay_zero(make_classifier, make_trainer, data):
    # Eight filters, twelve steps: the ramp from step 0 to 6, cuts each second step. The cubic has
    # 1 - (2/3)^3 = 0.70, 0.96 and 1 of half of the filters: 2.8, 3.9, 4.
    counts = ZeroFilters()
    pruning = FilterPruning(0.5, start=0.0, end=0.5, every=2)
    trainer = make_trainer(max_epochs=4, callbacks=[pruning, counts])
    trainer.fit(make_classifier(backbone="r3d_10"), datamodule=data)
    assert counts.counts == [0, 0, 3, 3, 4, 4, *[4] * 6]


def test_pruned_filters_go_on_with_a_checkpoint(make_classifier, make_trainer, data, tmp_path):
    classifier = make_classifier(backbone="r3d_10")
    first = FilterPruning(0.5, start=0.0, end=0.5, every=1)
    trainer = make_trainer(max_epochs=2, callbacks=[first])  # six steps, pruned at the third
    trainer.fit(classifier, datamodule=data)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    counts = ZeroFilters()
    # Nothing is to be cut any more: what is zero is what the checkpoint says.
    again = FilterPruning(0.5, start=0.0, end=0.25, every=1)
    trainer = make_trainer(max_epochs=4, callbacks=[again, counts])
    trainer.fit(classifier, datamodule=data, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert counts.counts == [4] * 6
    assert again.state_dict() == first.state_dict()
