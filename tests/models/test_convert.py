"""`convert` changes no backbone's output, and says what share of the multiplications it took."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import videowino
from videowino.models import create_model

Size = tuple[int, int, int]


def moving_clips(batch: int, size: Size) -> Tensor:
    """Smooth in space and time, with some noise on top."""
    smooth = F.interpolate(torch.randn(batch, 3, 2, 4, 4), size=size, mode="trilinear")
    return smooth + 0.3 * torch.randn(batch, 3, *size)


def train_briefly(model: nn.Module, clips: Tensor, steps: int) -> None:
    """Until classes come apart: random weights with made-up statistics amplify rounding tenfold.

    Deep networks of random weights are chaotic: their own float32 rounding exceeds 1e-5 of the
    logits. Training, even this little, makes them as steady as the networks people convert.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 0.3
            if not module.weight.any():  # pytorchvideo's residual branches start at zero
                nn.init.uniform_(module.weight, 0.1, 0.3)
    labels = torch.arange(len(clips)) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(clips), labels).backward()
        optimizer.step()
    model.eval()


def share_with_taps(model: nn.Module, clip: Tensor) -> float:
    """Share of the multiplications in stride-1, ungrouped convolutions of more than one tap."""
    counts = {True: 0.0, False: 0.0}

    def add(conv: nn.Conv3d, _inputs: tuple, output: Tensor) -> None:
        fits = conv.stride == conv.dilation == (1, 1, 1) and conv.groups == 1
        taps = conv.weight[0].numel() / conv.weight.shape[1]
        counts[fits and taps > 1] += output.numel() * conv.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.Conv3d)]
    model(clip)
    for hook in hooks:
        hook.remove()
    return counts[True] / sum(counts.values())


def check(name: str, width: float, steps: int, size: Size, train_scale: float = 1) -> None:
    model = create_model(name, 4, dropout=0.0, **({} if width == 1 else {"width": width}))
    clips = moving_clips(8, size)
    train_briefly(model, F.interpolate(clips, scale_factor=train_scale), steps)
    x = clips[:2]
    with torch.no_grad():
        dense = model(x)
        share = share_with_taps(model, x[:1])
        report = videowino.convert(model, tile=(2, 4, 4), example=x[:1])
        swapped = model(x)
    error = ((swapped - dense).abs().max() / dense.abs().max()).item()
    print(
        f"\n{name}, width {width}, {'x'.join(map(str, size))}: {len(report.swapped)} of "
        f"{len(report.layers)} convolutions with {report.eligible_share:.1%} of the "
        f"multiplications swapped, {report.multiplications_dense / report.multiplications:.2f}x "
        f"fewer in all, largest difference {error:.1e} of the largest logit"
    )
    assert (error > 0) == bool(report.swapped)
    assert error < 1e-5
    assert report.eligible_share == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "width", "steps", "pixels"),
    [
        ("c3d", 0.125, 8, 32),
        ("r3d_18", 0.125, 8, 32),
        ("r3d_34", 0.125, 8, 32),
        ("mc3_18", 0.125, 8, 32),
        ("r2plus1d_18", 0.125, 12, 32),
        ("i3d", 0.125, 16, 48),
        ("i3d_r50", 0.125, 8, 32),
        ("s3d", 1, 5, 32),
        ("slowfast_r50", 0.125, 8, 32),
        ("x3d_s", 0.25, 1, 32),
    ],
)
def test_small(name, width, steps, pixels):
    check(name, width, steps, (8, pixels, pixels))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("c3d", 16),
        ("r3d_18", 16),
        ("mc3_18", 16),
        ("r2plus1d_18", 16),
        ("i3d", 16),
        ("i3d_r50", 8),
        ("s3d", 16),
        ("slowfast_r50", 16),
        ("x3d_s", 13),
    ],
)
def test_full_width(name, frames):
    check(name, 1, 12, (frames, 112, 112), train_scale=0.5)
