"""Video data: decoding, clip sampling, transforms, and data modules for Lightning."""

from videowino.compat import torchvision  # before Lightning, whose torchmetrics imports it
from videowino.data.datamodule import VideoDataModule
from videowino.data.hmdb51 import HMDB51
from videowino.data.splits import Video
from videowino.data.synthetic import SyntheticMotion
from videowino.data.synthetic_clip import SyntheticSpec
from videowino.data.ucf101 import UCF101
from videowino.data.video_folder import VideoFolder
from videowino.data.video_shards import VideoShards

__all__ = [
    "HMDB51",
    "SyntheticMotion",
    "SyntheticSpec",
    "UCF101",
    "Video",
    "VideoDataModule",
    "VideoFolder",
    "VideoShards",
]
