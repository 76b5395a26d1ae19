"""The data module: loaders for the datasets in a YAML, with sample-exact resumption of training."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset

from glassine.data.clips import spread_rows
from glassine.data.dataset import LazyDataset, collate_stickers, one_thread
from glassine.data.feature_cache import CachedFeatures
from glassine.data.latent_cache import CachedLatents
from glassine.data.sampler import ResumableLoader, ResumableSampler
from glassine.utils.errors import UserError


class StickerDataModule(LightningDataModule):
    """Batched datasets for training, validation, test and prediction.

    Training resumes at the exact sample: with `--ckpt_path` it continues after the last batch the trainer finished, on
    any number of ranks and workers, see :class:`~glassine.data.sampler.ResumableSampler`. A batch collates the
    dataset's sample dicts: tensors are stacked, numbers become one tensor, everything else a list.

    Any map-style dataset of dicts works; the training dataset is indexed by (epoch, row). Those of this package open
    their files lazily: :class:`~glassine.data.dataset.Stickers`,
    :class:`~glassine.data.latent_cache.CachedLatents`, :class:`~glassine.data.feature_cache.CachedFeatures`,
    :class:`~glassine.data.frame_cache.CachedFrames`, :class:`~glassine.data.thumbnails.Thumbnails` and
    :class:`~glassine.data.text_pairs.TextPairs`.

    Args:
        train: dataset to train on.
        val: dataset to validate on; None is the `val` split with the evaluation settings of the training dataset, see
            :meth:`~glassine.data.dataset.LazyDataset.evaluation`.
        test: dataset for test and prediction; None is likewise the `test` split of `val`, otherwise of `train`.
        batch_size: samples per batch and rank.
        eval_batch_size: the same for validation, test and prediction; None for `batch_size`.
        num_workers: worker processes of each loader; 0 loads in the training process.
        prefetch_factor: batches that each worker loads ahead; None for torch's default, 2.
        seed: of the order, and of the datasets that have none of their own.
        val_limit: most samples of a validation, evenly spread over its dataset; None for all. The test is never cut.

    Raises:
        UserError: no dataset, or numbers out of range; on setup, errors of the datasets.
    """

    def __init__(
        self,
        train: Dataset | None = None,  # jsonargparse does not support parametrized classes
        val: Dataset | None = None,
        test: Dataset | None = None,
        batch_size: int = 8,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        prefetch_factor: int | None = None,
        seed: int = 0,
        val_limit: int | None = None,
    ) -> None:
        super().__init__()
        if train is None and val is None and test is None:
            raise UserError("data.train, data.val or data.test must be a dataset, got none: name its class_path")
        numbers = {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "val_limit": val_limit}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise UserError(f"data.{name} must be at least 1, got {value}")
        if prefetch_factor is not None and (prefetch_factor < 1 or num_workers < 1):
            raise UserError(
                f"data.prefetch_factor must be at least 1 and needs workers, got {prefetch_factor} and "
                f"num_workers {num_workers}"
            )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.num_workers, self.prefetch_factor, self.seed = num_workers, prefetch_factor, seed
        self.val_limit = val_limit
        self._given: dict[str, Any] = {"train": train, "val": val, "test": test}
        self._datasets: dict[str, Any] = {}
        self._sampler: ResumableSampler | None = None
        self._resume_from: dict[str, int] = {}
        self._reported: dict[str, int] = {}

    def dataset(self, stage: str) -> Any:
        """The dataset of `"train"`, `"val"`, `"test"` or `"predict"`, opened.

        Raises:
            UserError: there is none, or it cannot be opened.
        """
        stage = "test" if stage == "predict" else stage
        if stage not in self._datasets:
            dataset = self._given[stage]
            dataset = self._evaluation(stage) if dataset is None else dataset  # an `or` would open it
            if stage == "val" and self.val_limit is not None:
                dataset = Spread(dataset, self.val_limit)
            if isinstance(dataset, LazyDataset):
                dataset.seed = self.seed if dataset.seed is None else dataset.seed
                dataset.setup()
            self._datasets[stage] = dataset
        return self._datasets[stage]

    def _evaluation(self, stage: str) -> Any:
        """The default dataset for a stage."""
        given = {"train": (), "val": ("train",), "test": ("val", "train")}[stage]
        for dataset in (self._given[name] for name in given):
            if isinstance(dataset, LazyDataset):
                return dataset.evaluation(stage)
            if dataset is not None:
                break
        raise UserError(f"data.{stage} must be a dataset, got null: name its class_path")

    @property
    def features_identity(self) -> dict[str, str] | None:
        """The teacher behind the cached features used in training; None if there are none."""
        return train.identity if isinstance(train := self.dataset("train"), CachedFeatures) else None

    @property
    def latents_identity(self) -> dict[str, str] | None:
        """The VAE and text encoder behind the cached latents used in training; None if there are none."""
        return train.identity if isinstance(train := self.dataset("train"), CachedLatents) else None

    def setup(self, stage: str) -> None:
        """Open the datasets, so that a wrong folder is reported before training starts."""
        for name in {"fit": ("train", "val"), "validate": ("val",)}.get(stage, ("test",)):
            self.dataset(name)

    def train_dataloader(self) -> DataLoader[Any]:
        """Reshuffled in each epoch, full batches only, resumable."""
        trainer = self.trainer
        sampler = ResumableSampler(
            len(self.dataset("train")),
            self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            finished=self._finished_batches if trainer else None,
        )
        # a trainer that has finished fewer batches than the checkpoint is another run, started with this same object
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
        """All of the split, in order, without randomness."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """All of the split, in order, without randomness."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """All of the split, in order, without randomness."""
        return self._eval_loader("predict")

    def _eval_loader(self, stage: str) -> DataLoader[Any]:
        dataset, sampler = self.dataset(stage), None
        if self.trainer is not None and self.trainer.world_size > 1:
            # Lightning's default would score some stickers twice, to give every process the same number
            ranks = {"num_replicas": self.trainer.world_size, "rank": self.trainer.global_rank}
            sampler = UnrepeatedDistributedSampler(dataset, shuffle=False, **ranks)
        return DataLoader(
            dataset,
            batch_size=self.eval_batch_size,  # by name: Lightning rebuilds the loader for prediction
            sampler=sampler,
            **self._loader_settings(),  # type: ignore[arg-type]
        )

    def _loader_settings(self) -> dict[str, object]:
        return {
            "collate_fn": collate_stickers,
            "num_workers": self.num_workers,
            "prefetch_factor": self.prefetch_factor,
            "worker_init_fn": one_thread,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }

    def _finished_batches(self) -> int:
        # `processed` is updated after a batch's optimizer step, before the callbacks that save checkpoints
        assert self.trainer is not None
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return progress.processed  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """The position in the training stream; saved in every checkpoint."""
        return dict(self._sampler.state_dict()) if self._sampler else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Resume from there when training starts."""
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
        """Warn about damaged stickers found since the last report: how many, which, and why."""
        for stage, dataset in self._datasets.items():
            damaged = getattr(dataset, "num_damaged", 0)
            if damaged > self._reported.get(stage, 0):
                self._reported[stage] = damaged
                warnings.warn(f"{stage} stickers: {dataset.damage_line()}", stacklevel=2)


class Spread(LazyDataset):
    """At most `limit` samples of another dataset, evenly spread over it, for validation that does not take hours.

    Args:
        dataset: any map-style dataset.
        limit: how many samples, at least 1.
    """

    def __init__(self, dataset: Any, limit: int) -> None:
        self.dataset, self.limit, self.seed = dataset, limit, getattr(dataset, "seed", 0)

    def _open(self) -> None:
        if isinstance(self.dataset, LazyDataset):
            self.dataset.seed = self.seed
            self.dataset.setup()
        self.rows = spread_rows(np.arange(len(self.dataset)), self.limit)

    def __len__(self) -> int:
        self.setup()
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        self.setup()
        return self.dataset[int(self.rows[row])]

    @property
    def num_damaged(self) -> int:  # type: ignore[override]
        """Of the dataset below."""
        return int(getattr(self.dataset, "num_damaged", 0))

    def damage_line(self) -> str:
        """Of the dataset below."""
        return str(self.dataset.damage_line())
