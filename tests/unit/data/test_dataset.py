from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from glassine.data.clips import ProceduralClips, ShardClips
from glassine.data.dataset import StickerDataset, collate_stickers
from glassine.data.shards import ShardWriter, StickerShards, load_index
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


def write(folder: Path, count: int = 6) -> StickerShards:
    with ShardWriter(folder) as writer:
        for number in range(count):
            frames = np.full((4, 8, 8, 4), 10 * number, np.uint8)
            frames[..., 3] = 255
            writer.write(
                f"s{number}", Sticker(frames, (125,) * 4), {"description": f"no. {number}", "trigger_words": ["n"]}
            )
    return StickerShards(folder)


def damage(folder: Path, *keys: str) -> None:
    tar = folder / "shard-000000.tar"
    data = bytearray(tar.read_bytes())
    for sample in load_index(tar).samples:
        if sample.key in keys:
            for offset, size in sample.members:
                data[offset : offset + size] = b"\xff" * size
    tar.write_bytes(data)


def numbers(frames: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"clip": torch.from_numpy(frames), "draw": torch.rand(1, generator=generator)}


def dataset(shards: StickerShards, **settings: object) -> StickerDataset:
    return StickerDataset([ShardClips(shards, shards.select())], 4, (8, 8), numbers, **settings)


def test_a_sample_has_the_transform_and_what_is_known_about_the_sticker(tmp_path: Path) -> None:
    sample = dataset(write(tmp_path))[3]
    assert sample["clip"].shape == (4, 8, 8, 4)
    assert (sample["clip"][..., 0].float() - 30).abs().max() <= 2
    assert sample["caption"] == "Cartoon\tno. 3"
    assert sample["trigger_words"] == ["n"]
    assert (sample["domain"], sample["key"], sample["group"], sample["fps"]) == ("cartoon", "s3", "s3", 8.0)


def test_randomness_depends_on_pass_and_row_alone(tmp_path: Path) -> None:
    shards = write(tmp_path)
    first = dataset(shards, training=True)
    again = dataset(shards, training=True)
    draws = {item: float(first[item]["draw"]) for item in [(0, 1), (0, 2), (1, 1)]}
    assert len(set(draws.values())) == 3
    assert {item: float(again[item]["draw"]) for item in reversed(draws)} == draws
    assert float(dataset(shards, seed=1)[0, 1]["draw"]) != draws[0, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_stickers_are_replaced_by_the_next_and_named(tmp_path: Path, workers: int) -> None:
    shards = write(tmp_path)
    damage(tmp_path, "s2", "s3", "s5")
    stickers = dataset(shards)
    assert stickers.damaged == {}
    loader = DataLoader(stickers, batch_size=2, num_workers=workers, collate_fn=collate_stickers)
    assert [key for batch in loader for key in batch["key"]] == ["s0", "s1", "s4", "s4", "s4", "s0"]
    tar = tmp_path / "shard-000000.tar"
    assert list(stickers.damaged) == [f"{tar}:s2", f"{tar}:s3", f"{tar}:s5"]
    assert stickers.num_damaged == 3
    assert stickers.damage_line().startswith("3 of 6 are damaged, replaced by the next: ")
    assert all("PNG" in reason or "image" in reason for reason in stickers.damaged.values()), stickers.damaged


def test_nothing_readable_at_all_is_an_error(tmp_path: Path) -> None:
    shards = write(tmp_path, count=2)
    (tmp_path / "shard-000000.tar").unlink()
    with pytest.raises(UserError, match=r"no readable sticker near .*its shard cannot be opened"):
        dataset(shards)[0]


def test_an_error_in_the_transform_is_not_taken_for_damage(tmp_path: Path) -> None:
    def broken(frames: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        raise ValueError("a bug")

    shards = write(tmp_path)
    with pytest.raises(ValueError, match="a bug"):
        StickerDataset([ShardClips(shards, [0])], 4, (8, 8), broken)[0]


def test_procedural_stickers_are_new_in_every_pass_and_follow_the_real_ones(tmp_path: Path) -> None:
    shards = write(tmp_path)
    parts = [ShardClips(shards, [0, 1]), ProceduralClips(3, seed=0, size=24)]
    mixed = StickerDataset(parts, 4, (24, 24), numbers, training=True)
    assert len(mixed) == 5
    keys = [mixed[number, row]["key"] for number in (0, 1) for row in range(5)]
    assert keys[:2] == keys[5:7] == ["s0", "s1"]
    assert len(set(keys)) == 2 + 6
    assert mixed[0, 4]["clip"].shape == (4, 24, 24, 4)
    assert torch.equal(mixed[1, 4]["clip"], mixed[1, 4]["clip"])


def test_batches_stack_tensors_and_list_words(tmp_path: Path) -> None:
    stickers = dataset(write(tmp_path))
    batch = collate_stickers([stickers[0], stickers[1]])
    assert batch["clip"].shape == (2, 4, 8, 8, 4)
    assert batch["fps"].tolist() == [8.0, 8.0]
    assert batch["trigger_words"] == [["n"], ["n"]]
    assert batch["key"] == ["s0", "s1"]
