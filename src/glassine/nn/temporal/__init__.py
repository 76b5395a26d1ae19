"""What a video UNet has between its spatial layers: the methods that VSD2M (arXiv 2412.08259) compares with STI."""

from .make_a_video import MakeAVideo
from .method import TemporalAttention, TemporalMethod
from .video_factory import VideoFactory
from .video_ldm import VideoLDM

__all__ = ["MakeAVideo", "TemporalAttention", "TemporalMethod", "VideoFactory", "VideoLDM"]
