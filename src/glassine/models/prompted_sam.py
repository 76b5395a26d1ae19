"""SAM and SAM 2 with prompts from the true alpha, as in ILDiff's comparison (arXiv 2412.20901, section V-B).

SAM is prompted in each frame; its masks are also used as explicit layout. SAM 2 is prompted in one frame and tracks the
subject through the others.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import normalize
from transformers import Sam2VideoInferenceSession, Sam2VideoModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from glassine.models.sam import (
    Prompts,
    boxes_of,
    center_points,
    decode_masks,
    embed_pictures,
    enlarge_masks,
    frozen_sam,
    visible_part,
)
from glassine.nn.background import estimate_background


class PromptedSam(nn.Module):
    """SAM's masks, prompted by center point and bounding box of the true alpha in each frame, as in ILDiff.

    Args:
        sam: a `segment_anything` network, frozen here.
    """

    def __init__(self, sam: nn.Module) -> None:
        super().__init__()
        self.sam = frozen_sam(sam)

    @torch.no_grad()
    def forward(self, clip: Tensor, true_alpha: Tensor) -> Tensor:
        """Alpha `b f 1 h w`, 0 or 1; all 0 in frames whose true alpha is empty.

        Args:
            clip: opaque clips `b f 3 h w` in [0, 1].
            true_alpha: `b f 1 h w` in [0, 1], from which prompts are made.
        """
        frames = clip.shape[1]
        pictures = rearrange(clip, "b f c h w -> (b f) c h w")
        truth = visible_part(rearrange(true_alpha, "b f 1 h w -> (b f) h w"))
        embeddings = embed_pictures(self.sam, pictures)  # n c g g
        masks = [self.mask(embedding[None], one) for embedding, one in zip(embeddings, truth, strict=True)]
        return rearrange(torch.stack(masks), "(b f) h w -> b f 1 h w", f=frames).to(clip)

    def mask(self, embedding: Tensor, truth: Tensor) -> Tensor:
        """SAM's mask `h w` bool of one image with embedding `1 c g g`, prompted from the true mask `h w` bool."""
        if not truth.any():
            return truth
        size = (truth.shape[-2], truth.shape[-1])
        prompts = Prompts(center_points(truth[None]), boxes_of(truth[None]))
        logits, _ = decode_masks(self.sam, embedding, prompts, size, multimask=False)
        return enlarge_masks(self.sam, logits, size)[0, 0] > 0


class SamMaskEncoder(nn.Module):
    """Image encoder for `LayoutAdapter` that returns SAM's masks: explicit layout, for comparison with ILDiff's.

    Maps images `n 3 h w` in [0, 1] to `n 48 h/16 w/16`. SAM is prompted by the bounding box of all pixels that differ
    from the border color; the true alpha is not used. The probabilities of its three masks, predicted at a quarter of
    SAM's input size, are resized to a quarter of the image size and folded by pixel-unshuffle to stride 16. This loses
    nothing for images of SAM's input size; for smaller images, masks get coarser.

    Args:
        sam: a `segment_anything` network, frozen here.
        tolerance: difference from the border color in any channel, in [0, 1], above which a pixel counts as foreground.
    """

    out_channels, stride = 48, 16

    def __init__(self, sam: nn.Module, tolerance: float = 0.06) -> None:
        super().__init__()
        self.sam, self.tolerance = frozen_sam(sam), tolerance

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Mask probabilities `n 48 h/16 w/16` of images `n 3 h w` in [0, 1]."""
        height, width = pictures.shape[-2:]
        embeddings = embed_pictures(self.sam, pictures)  # n c g g
        masks = []
        for embedding, box in zip(embeddings, self.boxes(pictures), strict=True):
            logits, _ = decode_masks(self.sam, embedding[None], Prompts(boxes=box[None]), (height, width), True)
            masks.append(enlarge_masks(self.sam, logits, (height, width))[0].sigmoid())  # 3 h w
        folded = F.interpolate(torch.stack(masks), (height // 4, width // 4), mode="area")
        return F.pixel_unshuffle(folded, 4)  # n 48 h/16 w/16

    def boxes(self, pictures: Tensor) -> Tensor:
        """Bounding box of the foreground, `n 4`; the whole image if there is no foreground."""
        color = estimate_background(pictures[:, None])  # n 3
        differs = ((pictures - color[:, :, None, None]).abs() > self.tolerance).any(1)  # n h w
        differs |= ~differs.any(dim=-1, keepdim=True).any(dim=-2, keepdim=True)
        return boxes_of(differs)


LEFT_TOP, RIGHT_BOTTOM, ON_SUBJECT = 2, 3, 1  # SAM 2's point labels; it encodes a box as two corner points
SUBJECT = 1  # object id; arbitrary, since only one object is tracked


class PromptedSam2(nn.Module):
    """SAM 2 (arXiv 2408.00714) prompted on one "frame containing the subject", as in table II of ILDiff (2412.20901).

    The prompt consists of center point and bounding box of the true alpha in that frame. SAM 2 encodes the box as its
    two corners, followed by the point, and predicts a single mask. The mask is propagated to the end of the clip and
    then back to its start with one memory, as in the official predictor, so that the backward pass uses the memory of
    the forward pass. Unlike in the official demo, small holes are not filled.

    Args:
        network: a `Sam2VideoModel`, see `glassine.pretrained.sam`; frozen (typed as a module so that a loader can
            create it).
        soft: return the sigmoid of the mask logits; by default the binary mask, as in comparisons of segmentation.
        prompt_first: prompt the first frame that shows the subject. The default is the frame with the largest visible
            area, since stickers often start as a small or fading part, and a baseline should not be put at a
            disadvantage. The paper does not say which frame it uses.
    """

    def __init__(self, network: nn.Module, soft: bool = False, prompt_first: bool = False) -> None:
        super().__init__()
        if not isinstance(network, Sam2VideoModel):
            raise TypeError(f"network must be a transformers Sam2VideoModel, got a {type(network).__name__}")
        self.network = network.requires_grad_(False).eval()
        self.soft, self.prompt_first = soft, prompt_first

    def train(self, mode: bool = True) -> "PromptedSam2":
        """Set the mode; the network stays in eval mode."""
        super().train(mode)
        self.network.eval()
        return self

    @torch.no_grad()
    def forward(self, clip: Tensor, alpha: Tensor) -> Tensor:
        """Track the subject of each clip.

        Args:
            clip: opaque clips `b f 3 h w` in [0, 1], of any size.
            alpha: true alpha `b f 1 h w` in [0, 1], used to choose the prompted frame and to make its prompts.

        Returns:
            Alpha `b f 1 h w`, 0 or 1 unless `soft`; all 0 for clips whose true alpha is empty.

        Raises:
            ValueError: clip and alpha differ in size.
        """
        if alpha.shape != clip[:, :, :1].shape:
            raise ValueError(f"clip and alpha must be of one size, got {tuple(clip.shape)} and {tuple(alpha.shape)}")
        return torch.stack([self.follow(*one) for one in zip(clip, alpha[:, :, 0], strict=True)])

    def follow(self, frames: Tensor, true_alpha: Tensor) -> Tensor:
        """Alpha `f 1 h w` of one clip `f 3 h w` with true alpha `f h w`."""
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
        """Session with frames `f 3 h w` resized to the network's square input and normalized, as by transformers."""
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
        """Add the bounding box and the center point of `mask` (`h w` bool) as prompts on this frame."""
        size, (height, width) = self.network.config.image_size, mask.shape
        corners = torch.cat([boxes_of(mask[None]).view(2, 2), center_points(mask[None])])  # 3 2, x before y
        points = (corners * corners.new_tensor([size / width, size / height]))[None, None]  # 1 1 3 2
        labels = torch.tensor([[[LEFT_TOP, RIGHT_BOTTOM, ON_SUBJECT]]], dtype=torch.int32)  # 1 1 3
        entry = session.obj_id_to_idx(SUBJECT)
        session.add_point_inputs(entry, frame, {"point_coords": points, "point_labels": labels})
        session.obj_with_new_inputs = [SUBJECT]
