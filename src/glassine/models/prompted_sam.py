"""SAM as a sticker cutter, frame by frame (ILDiff, arXiv 2412.20901, section V-B), and its masks as explicit layout."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sam import decode_masks, embed_pictures, enlarge_masks, frozen_sam
from glassine.nn.background import estimate_background
from glassine.nn.prompts import Prompts, boxes_of, centre_points, visible_part


class PromptedSam(nn.Module):
    """Masks of frames, asked for by the centre and the outer rectangle of the true alpha, as ILDiff's authors do.

    Args:
        sam: a `segment_anything` network, frozen here.
    """

    def __init__(self, sam: nn.Module) -> None:
        super().__init__()
        self.sam = frozen_sam(sam)

    @torch.no_grad()
    def forward(self, clip: Tensor, true_alpha: Tensor) -> Tensor:
        """Alpha `b f 1 h w`, 0 or 1, of `b f 3 h w` in [0, 1]; 0 in frames whose `true_alpha` shows nothing."""
        frames = clip.shape[1]
        pictures = rearrange(clip, "b f c h w -> (b f) c h w")
        truth = visible_part(rearrange(true_alpha, "b f 1 h w -> (b f) h w"))
        embeddings = embed_pictures(self.sam, pictures)  # n c g g
        masks = [self.mask(embedding[None], one) for embedding, one in zip(embeddings, truth, strict=True)]
        return rearrange(torch.stack(masks), "(b f) h w -> b f 1 h w", f=frames).to(clip)

    def mask(self, embedding: Tensor, truth: Tensor) -> Tensor:
        """The mask of one picture, `h w` bool, whose true mask is `truth`."""
        if not truth.any():
            return truth
        size = (truth.shape[-2], truth.shape[-1])
        prompts = Prompts(centre_points(truth[None]), boxes_of(truth[None]))
        logits, _ = decode_masks(self.sam, embedding, prompts, size, multimask=False)
        return enlarge_masks(self.sam, logits, size)[0, 0] > 0


class SamMaskEncoder(nn.Module):
    """SAM's masks in the place of a distilled encoder's features: explicit layout, to compare with ILDiff's implicit.

    An image encoder for `LayoutAdapter`: pictures `n 3 h w` in [0, 1] to `n 48 h/16 w/16`. SAM is asked, without any
    truth, for what lies in the rectangle around all that differs from the border's colour; the probabilities of its
    three masks, a quarter of SAM's own size each way, are brought to a quarter of the picture's and folded into 16 x 16
    patches: nothing is lost at SAM's own size, below it the masks get coarser.

    Args:
        sam: a `segment_anything` network, frozen here.
        tolerance: difference from the border's colour, in [0, 1] in any channel, that counts.
    """

    out_channels, stride = 48, 16

    def __init__(self, sam: nn.Module, tolerance: float = 0.06) -> None:
        super().__init__()
        self.sam, self.tolerance = frozen_sam(sam), tolerance

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """The folded probabilities."""
        height, width = pictures.shape[-2:]
        embeddings = embed_pictures(self.sam, pictures)  # n c g g
        masks = []
        for embedding, box in zip(embeddings, self.boxes(pictures), strict=True):
            logits, _ = decode_masks(self.sam, embedding[None], Prompts(boxes=box[None]), (height, width), True)
            masks.append(enlarge_masks(self.sam, logits, (height, width))[0].sigmoid())  # 3 h w
        folded = F.interpolate(torch.stack(masks), (height // 4, width // 4), mode="area")
        return F.pixel_unshuffle(folded, 4)  # n 48 h/16 w/16

    def boxes(self, pictures: Tensor) -> Tensor:
        """Around what is not background, `n 4`; the whole picture where all of it is."""
        colour = estimate_background(pictures[:, None])  # n 3
        differs = ((pictures - colour[:, :, None, None]).abs() > self.tolerance).any(1)  # n h w
        differs |= ~differs.any(dim=-1, keepdim=True).any(dim=-2, keepdim=True)
        return boxes_of(differs)
