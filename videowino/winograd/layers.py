"""`WinogradConv3d`: an `nn.Conv3d` that trains and prunes in the Winograd domain.

Shapes: x: N C_in D H W; U: (C_out, C_in, P); left: (C_out * C_in, s); right: (s, P).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.winograd.checks import check_pool
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.finish import MaxPool, rounded
from videowino.winograd.functional import winograd_conv3d
from videowino.winograd.masks import ColumnMask
from videowino.winograd.observed import is_observed
from videowino.winograd.padding import normalize_padding
from videowino.winograd.parameterization import (
    check_parameterization,
    column_scale,
    factored_start,
    low_rank_start,
)
from videowino.winograd.ready import Ready
from videowino.winograd.tile import fit_tile
from videowino.winograd.weights import Weights


class WinogradConv3d(ColumnMask):
    """A 3D convolution computed by the Winograd algorithm, with prunable columns.

    Every parameterization starts exactly as the given filter (`factored` below full rank: as
    its best low-rank fit, see `fit_error`). Mask and scores are those of `ColumnMask` and
    `ColumnScores`.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: Taps per axis: 1, 2, 3, 4, 5 or 7.
        stride: 1 or 2, one number or per axis.
        padding: As `nn.Conv3d`, "same" and "valid" included.
        bias: Whether there is a bias.
        padding_mode: As `nn.Conv3d`.
        tile: Outputs per tile, one number or per axis. (2, 4, 4) by default: six times fewer
            multiplications for 3x3x3, at float32 rounding that training does not notice.
        parameterization: `spatial` trains the filter, `vanilla` all of U, `low_rank` an update
            left right to a frozen filter, `factored` U = left right.
        rank: s, for `low_rank` and `factored`.
        points: Interpolation points, see `Tile.points`.
        device: Where the parameters live.
        dtype: Their type.

    Attributes:
        gate: (P,) parameter, ones. Its gradient is each column's first-order importance.
        fit_error: |U - left right| / |U| at the start of `factored`, else 0. Not known, and 0,
            where the layer was made on the meta device.
        weight_bits: 32, or 16 to store U in half the memory (see `winograd_conv3d`): where wide
            layers wait for their weight. 32 unless set; `weight_error` says what it would cost.
        channels_last: Whether the filter it was made from lay channels last in memory.
        probe: While one is set, training computes all columns, see `ColumnProbe`.
        pads: Zeros around the clip, (d0, d1, h0, h1, w0, w1).

    Raises:
        ValueError: Tile, rank, parameterization, taps or padding out of range.
    """

    dilation, groups = (1, 1, 1), 1
    weight_bits = 32
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] = 0,
        bias: bool = True,
        padding_mode: str = "zeros",
        tile: int | Sequence[int] = (2, 4, 4),
        parameterization: str = "spatial",
        rank: int | None = None,
        points: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        conv = nn.Conv3d(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding=padding,  # type: ignore[arg-type]
            bias=bias,
            padding_mode=padding_mode,  # type: ignore[arg-type]
            device=device,
            dtype=dtype,
        )
        super().__init__()
        self._take_over(conv, tile, parameterization, rank, points)

    @classmethod
    def from_conv(
        cls,
        conv: nn.Conv3d,
        *,
        tile: int | Sequence[int] = (2, 4, 4),
        parameterization: str = "low_rank",
        rank: int | None = 8,
        points: str | None = None,
    ) -> "WinogradConv3d":
        """The Winograd layer that computes what `conv` computes.

        Raises:
            ValueError: `conv` is not eligible (see `ineligible_reason`), or as the class.
        """
        reason = ineligible_reason(conv, strided=True)
        if reason:
            raise ValueError(f"this Conv3d cannot become a WinogradConv3d: {reason}")
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._take_over(conv, tile, parameterization, rank, points)
        return layer.train(conv.training)

    def _take_over(
        self,
        conv: nn.Conv3d,
        tile: int | Sequence[int],
        parameterization: str,
        rank: int | None,
        points: str | None,
    ) -> None:
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size = tuple(conv.kernel_size)
        self.stride = tuple(conv.stride)
        self.padding = conv.padding
        self.padding_mode = conv.padding_mode
        self.channels_last = _is_channels_last(conv.weight)
        self.tile = fit_tile(tile, self.kernel_size, points, self.stride)
        check_parameterization(parameterization, rank, self.tile)
        self.parameterization = parameterization
        factors = parameterization in ("low_rank", "factored")
        self.rank = rank if factors else None
        self.fit_error = 0.0
        self.pads = normalize_padding(
            self.padding if isinstance(self.padding, str) else tuple(self.padding),
            self.tile.taps,
        )
        self._create_weight(conv.weight)
        self.register_parameter("bias", conv.bias)  # type: ignore[arg-type]
        self.gate = nn.Parameter(
            conv.weight.new_ones(self.columns), requires_grad=conv.weight.requires_grad
        )
        self._create_mask(conv.weight.device)
        self._create_scores(conv.weight.device)
        self._derive()
        self._ready = Ready()

    def _create_weight(self, weight: Tensor) -> None:
        for name in ("left", "right"):
            self.register_parameter(name, None)
        trains = weight.requires_grad
        spatial = weight.detach()
        if self.parameterization == "spatial":
            self.register_parameter("weight", weight)  # type: ignore[arg-type]
        elif self.parameterization == "vanilla":
            scale = column_scale(self.tile).to(spatial)
            parts = Weights((self.out_channels, self.in_channels), spatial=spatial)
            u = parts.ungated(self.tile).reshape(-1, self.out_channels, self.in_channels)
            # One column after the other in memory: the kernels read and write it as it is.
            u = (u / scale[:, None, None]).permute(1, 2, 0)
            self.weight = nn.Parameter(u, requires_grad=trains)
        else:
            assert self.rank is not None
            if self.parameterization == "low_rank":
                # Frozen, and kept as the filter: a fifth of U0's size, and a buffer, so that no
                # optimizer takes it.
                self.register_buffer("weight", spatial.clone())
                factors = low_rank_start(spatial, self.tile, self.rank)
            else:
                self.register_parameter("weight", None)
                factors = factored_start(spatial, self.tile, self.rank)
                self.fit_error = factors.error
            self.left = nn.Parameter(factors.left, requires_grad=trains)
            self.right = nn.Parameter(factors.right, requires_grad=trains)

    def _parts(self) -> dict[str, Tensor | None]:
        """The operands of `winograd_conv3d` that make up U."""
        gate: Tensor = self.gate
        if self.column_scale is not None:
            gate = gate * self.column_scale
        if self.block_gate is not None and torch.is_grad_enabled():
            gate = gate * self.block_gate
        right: Tensor | None = self.right
        if right is not None and self.right_transform is not None:
            right = right @ self.right_transform
        vanilla = self.parameterization == "vanilla"
        return {
            "spatial": None if vanilla else self.weight,
            "transform": None if vanilla else self.filter_transform,
            "winograd": self.weight if vanilla else None,
            "left": self.left,
            "right": right,
            "gate": gate,
            "columns": self.kept_columns,
            "blocks": self.kept_blocks,
        }

    @torch.no_grad()
    def winograd_weight(self, masked: bool = True) -> Tensor:
        """U as it is applied, (C_out, C_in, P): gates included, zero at pruned columns.

        Args:
            masked: False gives pruned columns the weight they would come back with.
        """
        parts = self._parts()
        if not masked:
            parts |= {"columns": None, "blocks": None, "transform": None, "right": self.right}
        weights = Weights((self.out_channels, self.in_channels), **parts)
        kept = weights.packed(self.tile).permute(1, 2, 0)
        return weights.spread(kept, 2, self.columns).contiguous()

    @torch.no_grad()
    def weight_error(self) -> float:
        """How far U in 16 bits is from U, |U16 - U| / |U| over the kept columns."""
        u = Weights((self.out_channels, self.in_channels), **self._parts()).packed(self.tile)
        return float((rounded(u) - u).norm() / u.norm().clamp_min(torch.finfo(u.dtype).tiny))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve N C D H W, or C D H W as `nn.Conv3d` does."""
        return self.fused(x)

    def fused(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        relu: bool = False,
        pool: MaxPool | None = None,
    ) -> Tensor:
        """The convolution and what follows it in one pass over memory.

        pool(relu(conv(x) + residual)).

        Args:
            x: N C_in D H W, or C_in D H W.
            residual: As the result.
            relu: Whether negative results become zero.
            pool: One that fits the tile; without residual.

        Raises:
            ValueError: The clip is too small, or the residual or the pooling does not fit.
        """
        check_pool(pool, self.tile.m, residual)
        if x.dim() == 4:
            added = None if residual is None else residual.unsqueeze(0)
            return self.fused(x.unsqueeze(0), added, relu, pool).squeeze(0)
        pads = self.pads
        if self.padding_mode != "zeros":
            d0, d1, h0, h1, w0, w1 = pads
            x, pads = F.pad(x, (w0, w1, h0, h1, d0, d1), mode=self.padding_mode), (0,) * 6
        straight = not torch.is_grad_enabled() and not is_observed(x)
        if straight and (y := self._ready.run(self, x, residual, relu, pool)) is not None:
            return y
        probe = self.probe if torch.is_grad_enabled() else None
        parts = self._parts() if probe is None else probe.parts(self)
        y = winograd_conv3d(
            x,
            out_channels=self.out_channels,
            tile=self.tile,
            bias=self.bias,
            padding=pads,
            residual=residual,
            relu=relu,
            weight_bits=self.weight_bits,
            pool=pool,
            **parts,
        )
        if straight:
            self._ready.prepare(self, x, parts, pads, relu, pool)
        return y

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        rank = f", rank={self.rank}" if self.rank else ""
        bits = f", weight_bits={self.weight_bits}" if self.weight_bits != 32 else ""
        blocks = ""
        if self.block_mask is not None:
            blocks = f", blocks={self.blocks_kept}/{self.blocks * self.columns}"
        return (
            f"{self.in_channels}, {self.out_channels}, {self.tile}, padding={self.padding}, "
            f"{self.parameterization}{rank}, columns={self.columns_kept}/{self.columns}"
            f"{blocks}{bits}"
        )


def _is_channels_last(weight: Tensor) -> bool:
    return not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last_3d)
