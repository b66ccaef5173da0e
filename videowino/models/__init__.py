"""Backbones by name: C3D, R3D, MC3, R(2+1)D, I3D, S3D, SlowFast, X3D."""

from videowino.models import c3d, i3d, pytorchvideo_video, torchvision_video  # noqa: F401
from videowino.models.registry import create_model, list_models, register_model

__all__ = ["create_model", "list_models", "register_model"]
