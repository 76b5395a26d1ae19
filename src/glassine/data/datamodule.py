"""The project's one data module: stickers from shards, from the procedural source, or from both."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset

from glassine.data.clips import Clips, ProceduralClips, ShardClips, spread_rows
from glassine.data.dataset import ClipTransform, StickerDataset, collate_stickers, one_thread
from glassine.data.feature_cache import CachedFeatures
from glassine.data.latent_cache import CachedLatents, JoinedLatents
from glassine.data.sampler import ResumableLoader, ResumableSampler
from glassine.data.shards import StickerShards
from glassine.data.sticker import SPLITS, Stills, checked_split
from glassine.data.text_pairs import PairedTexts, TextPairs
from glassine.data.thumbnails import ThumbnailDataset, Thumbnails
from glassine.data.transforms import StickerTransform, evaluation_conditions
from glassine.utils.errors import UserError

AnyDataset = StickerDataset | CachedFeatures | JoinedLatents | PairedTexts | ThumbnailDataset


class StickerDataModule(LightningDataModule):
    """Stickers for training, validation, test and prediction, with or without a network.

    Training is resumable to the sample: with `--ckpt_path` it goes on after the last batch the trainer finished, on
    any number of ranks and workers, see :class:`~glassine.data.sampler.ResumableSampler`. A batch is the dict of
    :class:`~glassine.data.dataset.StickerDataset`, tensors stacked, strings in lists.

    Args:
        root: shard folder, or several; None for procedural stickers alone.
        batch_size: clips a batch and rank.
        num_frames: frames a clip; 8 as in VSD2M and ILDiff.
        size: height and width of a clip in pixels.
        train_transform: None is :class:`~glassine.data.transforms.StickerTransform` with its defaults.
        eval_transform: for validation, test and prediction; None is the evaluation condition `white`.
        num_workers: worker processes of each loader; 0 loads in the training process.
        seed: of the order, the frames and the transforms.
        train_split: split of training.
        val_split: split of validation.
        test_split: split of test.
        predict_split: split of prediction.
        procedural: rendered stickers added to each training pass, new ones in every pass. Without `root`, validation,
            test and prediction have an eighth as many, at least 8.
        procedural_families: which kinds of them; None for all.
        stills: train on stickers of one frame, too, or `only` on those.
        eval_stills: likewise for validation, test and prediction.
        limit: most training stickers from `root`, evenly spread over all; None for all.
        val_limit: likewise for validation; test and prediction take all.
        eval_batch_size: batch size there; None for `batch_size`.
        features: folder that `glassine data cache-features` wrote; training then takes its pictures, as clips of one
            frame, and the teacher's features from there instead of from `root`.
        latents: folder that `glassine data cache-latents` wrote, or several; training then takes `latents` and
            `prompt_embeds` from there (see :class:`~glassine.data.latent_cache.CachedLatents`), and no clips.
        chinese: share of the samples of `latents` that come with their Chinese caption, where they have one.
        by_group: one sample of `latents` a group and pass, its variants (skin tones, genders) in turn.
        pairs: texts instead of stickers, for all stages.
        thumbnails: small single pictures instead of clips, for all stages.
        train: a dataset to train on, in the place of all of the above.
        val: likewise for validation.
        test: likewise for test and prediction.

    Raises:
        UserError: neither `root` nor `procedural` nor `pairs` nor `thumbnails`, an unknown split, numbers out of range;
            on setup, what :class:`~glassine.data.shards.StickerShards` raises, and a split without stickers.
    """

    def __init__(
        self,
        root: str | list[str] | None = None,
        batch_size: int = 8,
        num_frames: int = 8,
        size: tuple[int, int] = (256, 256),
        train_transform: ClipTransform | None = None,
        eval_transform: ClipTransform | None = None,
        num_workers: int = 0,
        seed: int = 0,
        train_split: str = "train",
        val_split: str = "val",
        test_split: str = "test",
        predict_split: str = "test",
        procedural: int = 0,
        procedural_families: list[str] | None = None,
        stills: Stills = False,
        eval_stills: Stills = False,
        limit: int | None = None,
        val_limit: int | None = None,
        eval_batch_size: int | None = None,
        features: str | None = None,
        latents: str | list[str] | None = None,
        chinese: float = 0.25,
        by_group: bool = False,
        pairs: TextPairs | None = None,
        thumbnails: Thumbnails | None = None,
        train: Dataset | None = None,  # jsonargparse takes no parametrized class
        val: Dataset | None = None,  # jsonargparse takes no parametrized class
        test: Dataset | None = None,  # jsonargparse takes no parametrized class
    ) -> None:
        super().__init__()
        self.root = root
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.num_frames = num_frames
        self.size = (int(size[0]), int(size[1]))
        self.train_transform: ClipTransform = train_transform or StickerTransform()
        self.eval_transform: ClipTransform = eval_transform or evaluation_conditions()[0]
        self.num_workers = num_workers
        self.seed = seed
        names = {"train": train_split, "val": val_split, "test": test_split, "predict": predict_split}
        self.splits = {stage: checked_split(name) for stage, name in names.items()}
        self.procedural, self.procedural_families = procedural, procedural_families
        self.stills, self.eval_stills = stills, eval_stills
        self.limit, self.val_limit = limit, val_limit
        self.features, self.latents, self.chinese, self.by_group = features, latents, chinese, by_group
        self.pairs, self.thumbnails = pairs, thumbnails
        handed = {"train": train, "val": val, "test": test, "predict": test}
        self._datasets: dict[str, Any] = {stage: one for stage, one in handed.items() if one is not None}
        self._check()
        self._shards: StickerShards | None = None
        self._sampler: ResumableSampler | None = None
        self._resume_from: dict[str, int] = {}
        self._reported: dict[str, int] = {}

    def _check(self) -> None:
        cached = self.latents if "val" in self._datasets else None  # else validation has nothing to read
        given = (self.pairs, self.thumbnails, self._datasets.get("train"), cached)
        if self.root is None and self.procedural < 1 and all(one is None for one in given):
            raise UserError(
                "the data module got no `root` and `procedural: 0`; give a shard folder or a number above 0"
            )
        if self.features is not None and self.latents is not None:
            raise UserError("data module: features and latents came; training takes one of them, set the other to null")
        if self.procedural < 0:
            raise UserError(f"data module: procedural is {self.procedural}; it must be 0 or more")
        for name in ("batch_size", "eval_batch_size", "num_frames", "size", "limit", "val_limit"):
            value = getattr(self, name)
            if value is not None and min(value if name == "size" else (value,)) < 1:
                raise UserError(f"data module: {name} is {value}; it must be at least 1")

    def dataset(self, stage: str) -> Any:
        """The dataset of `"train"`, `"val"`, `"test"` or `"predict"`; made when first asked for.

        Raises:
            UserError: see the class.
        """
        if stage not in self._datasets:
            self._datasets[stage] = self._ready_made(stage) or self._stickers(stage)
        return self._datasets[stage]

    def _ready_made(self, stage: str) -> AnyDataset | None:
        """What stands in for stickers in this stage, if anything does."""
        if self.pairs is not None:
            return self.pairs.dataset(stage)
        if self.thumbnails is not None:
            return self.thumbnails.dataset(stage)
        if stage == "train" and self.features is not None:
            return CachedFeatures(self.features, self.size, self.splits["train"])
        if stage == "train" and self.latents is not None:
            folders = [self.latents] if isinstance(self.latents, str) else self.latents
            how = (self.num_frames, self.size, self.chinese, self.seed, self.by_group)
            return JoinedLatents([CachedLatents(folder, *how) for folder in folders])
        return None

    def _stickers(self, stage: str) -> StickerDataset:
        training = stage == "train"
        transform = self.train_transform if training else self.eval_transform
        return StickerDataset(self._parts(stage), self.num_frames, self.size, transform, self.seed, training)

    @property
    def features_identity(self) -> dict[str, str] | None:
        """The teacher whose cached features training takes; None where it takes none."""
        return train.identity if isinstance(train := self.dataset("train"), CachedFeatures) else None

    @property
    def latents_identity(self) -> dict[str, str] | None:
        """The VAE and text encoder whose cached latents training takes; None where it takes none."""
        return train.identity if isinstance(train := self.dataset("train"), JoinedLatents) else None

    def _parts(self, stage: str) -> list[Clips]:
        training, split = stage == "train", self.splits[stage]
        parts: list[Clips] = []
        if self.root is not None:
            self._shards = self._shards or StickerShards(self.root)
            rows = self._shards.select(split, stills=self.stills if training else self.eval_stills)
            rows = spread_rows(rows, {"train": self.limit, "val": self.val_limit}.get(stage))
            if not len(rows):
                raise UserError(
                    f"{self.root} has no sticker in split {split!r} (for {stage}); "
                    "see `glassine data info`, or set `stills` where all are stills"
                )
            parts.append(ShardClips(self._shards, rows))
        if self.procedural and (training or self.root is None):
            length = self.procedural if training else max(8, self.procedural // 8)
            # A series of its own for each split: what is tested has never been trained on
            series = self.seed * len(SPLITS) + SPLITS.index(split)
            parts.append(ProceduralClips(length, series, max(self.size), self.procedural_families))
        return parts

    def setup(self, stage: str) -> None:
        """Open the shards, so that a wrong folder is reported before anything is trained."""
        for name in {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage, ("predict",)):
            self.dataset(name)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled anew in each pass, whole batches, resumable."""
        trainer = self.trainer
        sampler = ResumableSampler(
            len(self.dataset("train")),
            self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            finished=self._finished_batches if trainer else None,
        )
        # A trainer that has finished less than the checkpoint's is another run, begun anew with this object
        if self._resume_from and sampler.finished and sampler.finished() >= self._resume_from["batches"]:
            sampler.load_state_dict(self._resume_from)
        self._sampler = sampler
        return ResumableLoader(
            self.dataset("train"),
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=True,
            **self._loader_settings(),  # type: ignore[arg-type]
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """All of the split, in order, without chance."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """All of the split, in order, without chance."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """All of the split, in order, without chance."""
        return self._eval_loader("predict")

    def _eval_loader(self, stage: str) -> DataLoader[Any]:
        dataset, sampler = self.dataset(stage), None
        if self.trainer is not None and self.trainer.world_size > 1:
            # Lightning's own choice would score some stickers twice, to give every process as many
            ranks = {"num_replicas": self.trainer.world_size, "rank": self.trainer.global_rank}
            sampler = UnrepeatedDistributedSampler(dataset, shuffle=False, **ranks)
        return DataLoader(
            dataset,
            batch_size=self.eval_batch_size,  # by name: Lightning builds the loader of a prediction anew
            sampler=sampler,
            **self._loader_settings(),  # type: ignore[arg-type]
        )

    def _loader_settings(self) -> dict[str, object]:
        return {
            "collate_fn": collate_stickers,
            "num_workers": self.num_workers,
            "worker_init_fn": one_thread,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }

    def _finished_batches(self) -> int:
        # `processed` counts a batch after its optimizer step and before the callbacks that save checkpoints
        assert self.trainer is not None
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return progress.processed  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """Where the training stream stands; saved in every checkpoint."""
        return dict(self._sampler.state_dict()) if self._sampler else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there when training starts."""
        self._resume_from = dict(state_dict)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Name damaged stickers with the last batch of a training epoch."""
        trainer = self.trainer
        if trainer and trainer.training and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.report_damage()
        return batch

    def teardown(self, stage: str) -> None:
        """Name damaged stickers that have not been named yet."""
        self.report_damage()

    def report_damage(self) -> None:
        """Warn of damaged stickers met since the last report: how many, which, and why."""
        for stage, dataset in self._datasets.items():
            if dataset.num_damaged > self._reported.get(stage, 0):
                self._reported[stage] = dataset.num_damaged
                warnings.warn(f"{stage} stickers: {dataset.damage_line()}", stacklevel=2)
