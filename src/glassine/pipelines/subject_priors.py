"""Networks that tell where the sticker is on a background that fits no model, from weights that the user brings.

Salient object networks as ONNX files (BiRefNet, IS-Net and U2-Net as their authors or rembg publish them) look at the
picture alone; SAM and SAM 2 from Meta's files, and the shipped small SAM, are asked for what is at the user's point or
in the user's box. What they find takes the place of GrabCut's guess.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from glassine.pipelines.insets import Floats, Picture
from glassine.pipelines.unknown_background import Subject
from glassine.utils.errors import UserError

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam
    from transformers import Sam2VideoModel

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CENTERED = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)  # IS-Net's mean and deviation
NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}  # ONNX Runtime's names
FAINT = 0.25  # below, a mask counts as clear, see `alpha_of_mask`
SIDE = 1024  # pixels, for a file that takes any size


class SubjectPrior(Protocol):
    """Where the sticker is, by a network."""

    def __call__(self, picture: Picture, subject: Subject | None) -> Floats:
        """Alpha `h' w'` in [0, 1] at any resolution, of a picture `h w 3` uint8 and the place that the user named."""


class OnnxPrior:
    """A salient object network: a picture `1 3 s s`, normalized, to a mask `1 1 s s`, its first output.

    BiRefNet (arXiv 2401.03407), U2-Net (arXiv 2005.09007) and IS-Net (arXiv 2203.03041) are published so. Outputs
    outside of [0, 1] are logits. U2-Net's and BiRefNet's pictures are normalized as ImageNet's; files with `isnet` in
    their name have IS-Net's own mean and deviation.

    Args:
        path: the file.
        device: `cpu` or `cuda`.

    Raises:
        UserError: ONNX Runtime is not installed, or the file is something else.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("an .onnx prior needs onnxruntime: pip install 'glassine[onnx]'") from error
        if not path.is_file():
            raise UserError(f"no file at {path}: give an .onnx file of BiRefNet, IS-Net or U2-Net")
        try:
            wanted = ["CUDAExecutionProvider"] * device.startswith("cuda") + ["CPUExecutionProvider"]
            known = [name for name in wanted if name in onnxruntime.get_available_providers()]
            self._session: Any = onnxruntime.InferenceSession(path, providers=known)
        except Exception as error:  # its errors share no base class of their own
            raise UserError(f"{path} cannot be read as ONNX ({str(error).partition(chr(10))[0]})") from error
        self._path = path
        self._mean, self._deviation = CENTERED if "isnet" in path.name.lower() else IMAGENET
        entry = self._session.get_inputs()[0]
        shape = entry.shape
        fixed = [side if isinstance(side, int) else known for side, known in zip(shape, (1, 3), strict=False)]
        if len(self._session.get_inputs()) != 1 or len(shape) != 4 or fixed != [1, 3] or entry.type not in NUMBERS:
            raise UserError(f"{path} must take one picture `1 3 s s` of floats, got {entry.type} {shape}")
        self._name, self._numbers = entry.name, NUMBERS[entry.type]
        height, width = (side if isinstance(side, int) and side > 0 else SIDE for side in shape[2:])
        self._size = width, height

    def __call__(self, picture: Picture, subject: Subject | None) -> Floats:
        """The mask, `s s`; only what is in the subject's box counts, and for a point the part that it lies on.

        Raises:
            UserError: the network fails, or gives something else.
        """
        shrinks = self._size[0] < picture.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = cv2.resize(picture, self._size, interpolation=how).astype(np.float32) / 255
        normal = (small - np.asarray(self._mean, np.float32)) / np.asarray(self._deviation, np.float32)
        entry = np.ascontiguousarray(normal.transpose(2, 0, 1)[None], self._numbers)
        try:
            found = self._session.run(None, {self._name: entry})[0]
        except Exception as error:  # its errors share no base class of their own
            raise UserError(f"{self._path} fails on a picture ({str(error).partition(chr(10))[0]})") from error
        mask = np.asarray(found, np.float32)
        if mask.ndim != 4 or mask.shape[:2] != (1, 1):
            raise UserError(f"{self._path} must give a mask `1 1 s s` first, got {mask.shape}")
        mask = mask[0, 0]
        if mask.min() < -1e-3 or mask.max() > 1 + 1e-3:
            mask = np.asarray(1 / (1 + np.exp(-np.clip(mask, -60, 60))), np.float32)
        return _part_of(mask.clip(0, 1), subject)


class SamPrior:
    """SAM of any version, asked for what is at the subject's point or in its box, on each frame by itself.

    Args:
        network: a `segment_anything` SAM, or transformers' SAM 2.
        device: where it runs.
    """

    def __init__(self, network: "Sam | Sam2VideoModel", device: "torch.device") -> None:
        from segment_anything.modeling import Sam

        self._is_first = isinstance(network, Sam)
        self._network: Any = network.eval()
        self._network.to(device)
        self._device = device

    def __call__(self, picture: Picture, subject: Subject | None) -> Floats:
        """The mask, 0 or 1: a quarter of the network's own size for SAM 2, the picture's size for SAM.

        Raises:
            UserError: no subject.
        """
        import torch

        if subject is None:
            raise UserError(
                "SAM has to be told what to look for: give --subject X,Y or --subject LEFT,TOP,RIGHT,BOTTOM"
            )
        with torch.inference_mode():
            pixels = torch.from_numpy(picture).to(self._device).permute(2, 0, 1)[None].float() / 255
            mask = self._ask_first(pixels, subject) if self._is_first else self._ask_second(pixels, subject)
        return mask.float().cpu().numpy()

    def _ask_first(self, pixels: "torch.Tensor", subject: Subject) -> "torch.Tensor":
        import torch

        from glassine.models.sam import Prompts, decode_masks, embed_pictures, enlarge_masks

        height, width = pixels.shape[-2:]
        corner = [subject.left * width, subject.top * height]
        if subject.right is None or subject.bottom is None:
            prompts = Prompts(points=torch.tensor([corner], device=self._device))
        else:
            box = [*corner, subject.right * width, subject.bottom * height]
            prompts = Prompts(boxes=torch.tensor([box], device=self._device))
        ambiguous = prompts.boxes is None  # a point may mean a part or the whole: the best of three masks
        embedding = embed_pictures(self._network, pixels)
        masks, iou = decode_masks(self._network, embedding, prompts, (height, width), multimask=ambiguous)
        best = int(iou[0].argmax())
        return enlarge_masks(self._network, masks[:, best : best + 1], (height, width))[0, 0] > 0

    def _ask_second(self, pixels: "torch.Tensor", subject: Subject) -> "torch.Tensor":
        from glassine.models.prompted_sam import LEFT_TOP, ON_SUBJECT, RIGHT_BOTTOM, SUBJECT, PromptedSam2

        session = PromptedSam2(self._network).open_session(pixels)
        side = self._network.config.image_size
        points, labels = [[subject.left * side, subject.top * side]], [ON_SUBJECT]
        if subject.right is not None and subject.bottom is not None:
            points.append([subject.right * side, subject.bottom * side])
            labels = [LEFT_TOP, RIGHT_BOTTOM]
        asked = {
            "point_coords": pixels.new_tensor(points)[None, None],
            "point_labels": pixels.new_tensor(labels).int()[None, None],
        }
        session.add_point_inputs(session.obj_id_to_idx(SUBJECT), 0, asked)
        session.obj_with_new_inputs = [SUBJECT]
        return self._network(session, frame_idx=0).pred_masks[0, 0] > 0


def load_prior(source: str, device: str = "auto") -> SubjectPrior:
    """The network in a file, a folder or a bundle.

    Args:
        source: an `.onnx` file of a salient object network; Meta's `sam_vit_*.pth` or `sam2*_hiera_*.pt`; a folder or
            hub id of transformers' SAM 2; or a bundle of a SAM, such as `glassine:tiny-sam`.
        device: where torch's networks run.

    Raises:
        UserError: nothing there, or something else.
    """
    path = Path(source)
    if path.suffix.lower() == ".onnx":
        return OnnxPrior(path, "cuda" if device == "auto" else device)
    if path.suffix.lower() in (".pth", ".pt", ".safetensors") and not path.is_file():
        raise UserError(f"no file at {path}: give Meta's sam_vit_*.pth or sam2*_hiera_*.pt, or an .onnx file")
    from segment_anything.modeling import Sam

    from glassine.pretrained.sam import sam2_video, sam_of_file
    from glassine.pretrained.weights import SHIPPED, load_bundle, read_state
    from glassine.utils.devices import pick_device

    if source.startswith(SHIPPED) or (path / "config.yaml").is_file():
        network = load_bundle(source)
        if not isinstance(network, Sam):
            raise UserError(f"--prior {source} must hold a SAM such as glassine:tiny-sam, got {type(network).__name__}")
    elif path.is_file() and "image_encoder.pos_embed" in read_state(path):
        network = sam_of_file(path)
    else:
        network = sam2_video(source)
    return SamPrior(network, pick_device(device))


def _part_of(mask: Floats, subject: Subject | None) -> Floats:
    """What of a mask belongs to the subject: the connected part at its point (all, if none is there), or its box."""
    if subject is None:
        return mask
    height, width = mask.shape
    x, y = (min(int(share * side), side - 1) for share, side in ((subject.left, width), (subject.top, height)))
    if subject.right is not None and subject.bottom is not None:
        kept = np.zeros_like(mask)
        rows = slice(y, max(y + 1, round(subject.bottom * height)))
        box = rows, slice(x, max(x + 1, round(subject.right * width)))
        kept[box] = mask[box]
        return kept
    count, parts = cv2.connectedComponents((mask > FAINT).astype(np.uint8))
    if count < 3 or parts[y, x] == 0:  # one part, or a point beside all of them
        return mask
    return np.where(parts == parts[y, x], mask, 0).astype(np.float32)
