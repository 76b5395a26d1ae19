"""SAM 2, told on a single frame where the subject is and left to follow it: a comparison of the ILDiff paper's."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import normalize
from transformers import Sam2VideoInferenceSession, Sam2VideoModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from glassine.nn.prompts import boxes_of, centre_points, visible_part

LEFT_TOP, RIGHT_BOTTOM, ON_SUBJECT = 2, 3, 1  # labels of points; SAM 2 takes a box as two
SUBJECT = 1  # any number does, there is one thing to follow


class PromptedSam2(nn.Module):
    """SAM 2 (arXiv 2408.00714) prompted on one "frame containing the subject", as in table II of ILDiff (2412.20901).

    The prompts are the centre point and the outer rectangle of the true alpha on that frame, both at once: SAM 2 reads
    a box as its two corners before the point, and then answers with one mask. The mask is followed to the end of the
    clip and then back to its start in one memory, as the official predictor does it: the way back remembers what the
    way there saw. Small holes that the official demo fills stay.

    Args:
        network: a `Sam2VideoModel`, see `glassine.pretrained.sam2`; frozen (typed as a module so that a loader may
            make it).
        soft: return the sigmoid of the mask's logits; by default the mask itself, as segmentation is compared.
        prompt_first: prompt the first frame that shows the subject. The paper does not say which one it took; the
            default is the frame that shows most of it, since stickers often start as a speck or a fading corner, and
            a comparison should give the other method its best chance.
    """

    def __init__(self, network: nn.Module, soft: bool = False, prompt_first: bool = False) -> None:
        super().__init__()
        if not isinstance(network, Sam2VideoModel):
            raise TypeError(f"a {type(network).__name__} came; give a transformers Sam2VideoModel")
        self.network = network.requires_grad_(False).eval()
        self.soft, self.prompt_first = soft, prompt_first

    def train(self, mode: bool = True) -> "PromptedSam2":
        """Train mode for all but the network, which stays frozen."""
        super().train(mode)
        self.network.eval()
        return self

    @torch.no_grad()
    def forward(self, clip: Tensor, alpha: Tensor) -> Tensor:
        """Find alpha.

        Args:
            clip: opaque, `b f 3 h w` in [0, 1], of any size.
            alpha: the true one, `b f 1 h w` in [0, 1]; but for the choice of the frame, only that frame's is read.

        Returns:
            Alpha `b f 1 h w`, 0 or 1 unless `soft`; 0 where the true one shows nothing in the whole clip.

        Raises:
            ValueError: clip and alpha differ in size.
        """
        if alpha.shape != clip[:, :, :1].shape:
            raise ValueError(f"clip {tuple(clip.shape)} and alpha {tuple(alpha.shape)} came; they differ in size")
        return torch.stack([self.follow(*one) for one in zip(clip, alpha[:, :, 0], strict=True)])

    def follow(self, frames: Tensor, true_alpha: Tensor) -> Tensor:
        """Alpha `f 1 h w` of one clip `f 3 h w` whose true one is `f h w`."""
        visible = visible_part(true_alpha)  # f h w
        shown = (true_alpha * visible).sum((-2, -1))  # f
        if not shown.any():
            return torch.zeros_like(frames[:, :1])
        prompted = int((shown > 0).int().argmax() if self.prompt_first else shown.argmax())
        session = self.open_session(frames)
        self.prompt(session, prompted, visible[prompted])
        logits = {
            output.frame_idx: output.pred_masks  # 1 1 s s
            for reverse in (False, True)
            for output in self.network.propagate_in_video_iterator(session, prompted, reverse=reverse)
        }
        masks = torch.cat([logits[index] for index in range(len(frames))]).float()  # f 1 s s
        masks = F.interpolate(masks, frames.shape[-2:], mode="bilinear", align_corners=False)  # f 1 h w
        return (masks.sigmoid() if self.soft else masks > 0).to(frames)

    def open_session(self, frames: Tensor) -> Sam2VideoInferenceSession:
        """What transformers' processor makes of `f 3 h w`: squares of the network's size, normalised."""
        device, size = self.network.device, self.network.config.image_size
        squares = F.interpolate(frames.to(device), (size, size), mode="bilinear", antialias=True)  # f 3 s s
        return Sam2VideoInferenceSession(
            video=normalize(squares, list(IMAGENET_DEFAULT_MEAN), list(IMAGENET_DEFAULT_STD)),
            video_height=frames.shape[-2],
            video_width=frames.shape[-1],
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=self.network.dtype,
        )

    def prompt(self, session: Sam2VideoInferenceSession, frame: int, mask: Tensor) -> None:
        """Ask on this frame for what the `mask`, `h w` bool, shows: its box, then its centre."""
        size, (height, width) = self.network.config.image_size, mask.shape
        corners = torch.cat([boxes_of(mask[None]).view(2, 2), centre_points(mask[None])])  # 3 2, x before y
        points = (corners * corners.new_tensor([size / width, size / height]))[None, None]  # 1 1 3 2
        labels = torch.tensor([[[LEFT_TOP, RIGHT_BOTTOM, ON_SUBJECT]]], dtype=torch.int32)  # 1 1 3
        entry = session.obj_id_to_idx(SUBJECT)
        session.add_point_inputs(entry, frame, {"point_coords": points, "point_labels": labels})
        session.obj_with_new_inputs = [SUBJECT]
