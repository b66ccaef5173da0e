"""Chosen frames of video files, whatever they are written by."""

from videowino.data.decoding.kept import KeptVideo
from videowino.data.decoding.opening import DECODERS, open_video
from videowino.data.decoding.reader import DecoderError, FrameReader

__all__ = ["DECODERS", "DecoderError", "FrameReader", "KeptVideo", "open_video"]
