"""Changes of training clips beyond crop and flip: one draw a clip, the same in all its frames.

The draws and what they do are torchvision's; the colours are computed on whole planes, which is
several times faster than its uint8 kernels and comes to the same grey levels.
Shapes: frames T C H W of grey levels 0 to 255.
"""

from __future__ import annotations

from torch import Tensor

from videowino.compat import torchvision
from videowino.data.normalize import planes

_WHITE = 255.0
_RED, _GREEN, _BLUE = 0.2989, 0.587, 0.114  # of a grey level, as torchvision and PIL have it
_GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
#: RandAugment's magnitudes are 0 to this.
MAGNITUDES = 30


class ColorJitter(torchvision.transforms.v2.ColorJitter):
    """Brightness, contrast and saturation, in an order drawn for the clip, each by a drawn factor.

    Contrast is about the mean grey of each frame, as torchvision's.

    Args:
        strength: factors are drawn from 1 - strength (at least 0) to 1 + strength.
    """

    def __init__(self, strength: float) -> None:
        super().__init__(brightness=strength, contrast=strength, saturation=strength)

    def forward(self, frames: Tensor) -> Tensor:
        """Uint8 T C H W -> whole grey levels as float32 T C H W, a view of C T H W."""
        draw = self.make_params([])
        clip = planes(frames)
        for change in draw["fn_idx"].tolist():
            if change == 0:
                clip.mul_(draw["brightness_factor"])
            elif change == 1:
                factor = draw["contrast_factor"]
                mean = _grey(clip).mean((-2, -1), keepdim=True)
                clip.mul_(factor).add_(mean, alpha=1 - factor)
            elif change == 2:
                factor = draw["saturation_factor"]
                grey = _grey(clip)
                clip.mul_(factor).add_(grey, alpha=1 - factor)
            clip.clamp_(0, _WHITE).floor_()
        return clip.transpose(0, 1)


class RandAugment(torchvision.transforms.v2.RandAugment):
    """RandAugment (Cubuk et al. 2020) of a clip: operations, sign and magnitude drawn once.

    Autocontrast, equalize and contrast take their measure from each frame, as torchvision's.

    Args:
        num_ops: operations, one after the other.
        magnitude: strength of each, 0 to 30.
        geometry: shear, shift and turn the frames too; else only their colours change.
    """

    def __init__(self, num_ops: int, magnitude: int, geometry: bool = True) -> None:
        super().__init__(num_ops, magnitude, MAGNITUDES + 1)
        if not geometry:
            space = self._AUGMENTATION_SPACE  # type: ignore[has-type]
            self._AUGMENTATION_SPACE = {k: v for k, v in space.items() if k not in _GEOMETRY}

    def forward(self, frames: Tensor) -> Tensor:
        """Uint8 T C H W -> the same."""
        # On whole planes: autocontrast takes ten times as long where channels are side by side.
        changed = super().forward(torchvision.tv_tensors.Video(frames.contiguous()))
        return changed.as_subclass(Tensor)


def _grey(clip: Tensor) -> Tensor:
    """C T H W -> T H W, whole grey levels."""
    red, green, blue = clip
    return red.mul(_RED).add_(green, alpha=_GREEN).add_(blue, alpha=_BLUE).floor_()
