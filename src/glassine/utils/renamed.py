"""Names from earlier versions, mapped to today's classes.

Bundles and checkpoints written by earlier versions keep loading, since their names are looked up here. A hand-written
YAML gets an error with the new name instead, so that files do not drift away from the documentation.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from glassine.utils.errors import UserError

PACKAGE = "glassine."
# without the package's name
MODULES = {
    "data.joined_latents": "data.latent_cache",
    "data.phrases": "data.text_pairs",
    "data.split": "data.sticker",
    "data.sticker_views": "data.views",
    "data.transforms.augmentations.border": "data.transforms.augmentations",
    "data.transforms.augmentations.fade": "data.transforms.augmentations",
    "data.transforms.augmentations.flat_look": "data.transforms.restyling",
    "data.transforms.augmentations.geometry": "data.transforms.augmentations",
    "data.transforms.augmentations.holes": "data.transforms.augmentations",
    "data.transforms.augmentations.line_art": "data.transforms.restyling",
    "data.transforms.augmentations.recolour": "data.transforms.restyling",
    "data.transforms.augmentations.shadow": "data.transforms.augmentations",
    "data.transforms.augmentations.texture": "data.transforms.restyling",
    "data.transforms.degradations.lossy": "data.transforms.degradations",
    "data.transforms.degradations.noise": "data.transforms.degradations",
    "data.transforms.degradations.palette": "data.transforms.degradations",
    "data.transforms.degradations.resampling": "data.transforms.degradations",
    "data.transforms.degradations.round_trip": "data.transforms.degradations",
    "data.transforms.evaluation": "data.transforms.clip_sample",
    "data.transforms.layers": "data.transforms.base",
    "data.transforms.main_colour": "data.transforms.base",
    "data.transforms.moving_background": "data.transforms.backgrounds",
    "data.transforms.recipes": "data.transforms.clip_sample",
    "data.transforms.sample": "data.transforms.clip_sample",
    "data.transforms.sticker_transform": "data.transforms.clip_sample",
    "models.animation_sampling": "models.animation",
    "models.classic.colour_projection": "models.classic",
    "models.classic.flood_fill": "models.classic",
    "models.classic.grab_cut": "models.classic",
    "models.classic.outside": "models.classic",
    "models.classic.threshold": "models.classic",
    "models.code_sampling": "models.video_gpt",
    "models.first_stage": "models.text_to_video",
    "models.frame_unet": "models.image_unet",
    "models.i2vgen": "models.video_unet",
    "models.image_encoder": "models.sam",
    "models.layout_hint": "models.ildiff",
    "models.masked_reconstruction": "models.layout_encoder",
    "models.parameter_counts": "bench.parameter_counts",
    "models.prompted_sam2": "models.prompted_sam",
    "models.sticker_names": "models.sticker_clip",
    "models.tag_vocabulary": "models.sticker_clip",
    "models.temporal_unet": "models.video_unet",
    "models.test_time_augmentation": "models.transparency",
    "nn.checkpointing": "nn.diffusion",
    "nn.clip_mean": "nn.priors",
    "nn.damage": "nn.background",
    "nn.frame_masks": "nn.conditioning",
    "nn.guidance": "nn.diffusion",
    "nn.laplacian": "nn.losses",
    "nn.latent_mean": "nn.priors",
    "nn.layer_attention": "nn.layout_adapter",
    "nn.motion_amount": "nn.conditioning",
    "nn.patch_discriminator": "nn.losses",
    "nn.perceptual": "nn.losses",
    "nn.picture_augment": "nn.augmentation",
    "nn.prompt_padding": "nn.conditioning",
    "nn.prompts": "models.sam",
    "nn.scenes": "nn.augmentation",
    "nn.snr": "nn.diffusion",
    "nn.temporal.make_a_video": "nn.temporal",
    "nn.temporal.method": "nn.temporal",
    "nn.temporal.mix": "nn.temporal",
    "nn.temporal.positions": "nn.temporal",
    "nn.temporal.video_factory": "nn.temporal",
    "nn.temporal.video_ldm": "nn.temporal",
    "nn.temporal.windows": "nn.temporal",
    "nn.timesteps": "nn.diffusion",
    "pretrained.checkpoints": "pretrained.weights",
    "pretrained.latent_identity": "pretrained.priors",
    "pretrained.latent_mean": "pretrained.priors",
    "pretrained.layer_diffuse_attention": "pretrained.layer_diffuse",
    "pretrained.sam2": "pretrained.sam",
    "pretrained.spatial_part": "pretrained.video_unet",
    "pretrained.stable_diffusion": "pretrained.image_unet",
    "tasks.checkpoint_io": "tasks.checkpoints",
    "tasks.previews": "tasks.base",
    "tasks.scored": "tasks.base",
    "tasks.stopping": "tasks.checkpoints",
}
CLASSES = {
    "ClipMean": "MotionPrior",
    "ClipMetric": "VideoMetric",
    "LatentMean": "LatentPrior",
    "LatentTransparency": "TransparencyVAE",
    "OutlineColour": "OutlineColor",
    "OwnColour": "OwnColor",
    "RandomColour": "RandomColor",
    "Recolour": "Recolor",
}

# former arguments of the data module, and their replacements
DATA_ARGUMENTS = {
    "root": "data.train.init_args.root",
    "num_frames": "data.train.init_args.num_frames",
    "size": "data.train.init_args.size",
    "train_transform": "data.train.init_args.transform",
    "eval_transform": "data.val.init_args.transform",
    "train_split": "data.train.init_args.split",
    "val_split": "data.val.init_args.split",
    "test_split": "data.test.init_args.split",
    "predict_split": "data.test.init_args.split",
    "procedural": "data.train.init_args.procedural",
    "procedural_families": "data.train.init_args.families",
    "stills": "data.train.init_args.stills",
    "eval_stills": "data.val.init_args.stills",
    "limit": "data.train.init_args.limit",
    "features": "data.train: {class_path: glassine.data.feature_cache.CachedFeatures, init_args: {folder: ...}}",
    "latents": "data.train: {class_path: glassine.data.latent_cache.CachedLatents, init_args: {folders: ...}}",
    "chinese": "data.train.init_args.chinese",
    "by_group": "data.train.init_args.by_group",
    "pairs": "data.train: {class_path: glassine.data.text_pairs.TextPairs, init_args: {...}}",
    "thumbnails": "data.train: {class_path: glassine.data.thumbnails.Thumbnails, init_args: {...}}",
}


def check_data_arguments(names: Iterable[str], origin: str) -> None:
    """Raise UserError with the new form of an argument of the data module from earlier versions.

    Args:
        names: arguments that `origin` passes to `data`.
        origin: a YAML or the command line, for the message.
    """
    for name in names:
        if name in DATA_ARGUMENTS:
            raise UserError(
                f"{origin} sets data.{name}, which is now {DATA_ARGUMENTS[name]}: data takes the datasets train, val "
                "and test by class_path, for instance glassine.data.dataset.Stickers, which has root, split, size, "
                "num_frames, transform, stills, limit and procedural"
            )


def current_name(class_path: str) -> str:
    """Today's class path for `class_path`; unchanged if it was not renamed."""
    if not class_path.startswith(PACKAGE) or not all(part.isidentifier() for part in class_path.split(".")):
        return class_path
    module, _, name = class_path.removeprefix(PACKAGE).rpartition(".")
    return f"{PACKAGE}{MODULES.get(module, module)}.{CLASSES.get(name, name)}"


def with_current_names(description: Any) -> Any:
    """A network description with all class names updated to today's; other values are unchanged."""
    if isinstance(description, Mapping):
        return {key: with_current_names(value) for key, value in description.items()}
    if isinstance(description, list):
        return [with_current_names(value) for value in description]
    return current_name(description) if isinstance(description, str) else description
