import pickle
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from glassine.data.datamodule import StickerDataModule
from glassine.data.shards import ShardWriter, StickerShards
from glassine.data.sticker import Sticker, split_of
from glassine.data.thumbnails import PICTURES, Thumbnails, read_thumbnails, write_thumbnails
from glassine.utils.errors import UserError

SOURCES = ("fluent", "fluent-3d", "fluent-flat", "noto")


def write(folder: Path, groups: int = 6, variants: int = 1, first: int = 0) -> str:
    """Every group drawn by all sources, the first by one alone; what is animated gets brighter by 10 a frame."""
    with ShardWriter(folder) as writer:
        for group in range(first, groups):
            for number, source in enumerate(SOURCES if group else SOURCES[:1]):
                for variant in range(variants):
                    count = 6 if source == "fluent" else 1
                    frames = np.zeros((count, 16, 16, 4), np.uint8)
                    frames[..., 3] = 128
                    frames[..., :3] = (100 + 10 * np.arange(count))[:, None, None, None]
                    frames[..., 0] = 20 * number + 40 * variant
                    info = {"group": f"g{group}", "source": source, "description": f"thing {group}"}
                    info |= {"split": split_of(f"g{group}"), "trigger_words": ["thing"]}
                    writer.write(f"{source}-thing-{group}-{variant}", Sticker(frames, (100,) * count), info)
    return str(folder)


def names(thumbnails: Thumbnails, stage: str) -> set[tuple[str, str]]:
    dataset = thumbnails if stage == "train" else thumbnails.evaluation(stage)
    return {(dataset[row]["group"], dataset[row]["source"]) for row in range(len(dataset))}


def test_the_cache_holds_premultiplied_frames_of_some_variants(tmp_path):
    shards = StickerShards(write(tmp_path / "shards", variants=4))
    told = []
    count = write_thumbnails(shards, tmp_path / "t", 8, frames=3, variants=2, progress=lambda *done: told.append(done))
    table, size = read_thumbnails(tmp_path / "t")
    assert size == 8
    assert count == len(table) == 2 * (1 + 5 * 4)
    assert told[-1] == (count, count)
    assert {one.count for one in table if one.source == "fluent"} == {3}
    assert {one.count for one in table if one.source != "fluent"} == {1}
    pictures = np.load(tmp_path / "t" / PICTURES)
    animated = next(one for one in table if one.source == "fluent" and one.group == "g2")
    shown = pictures[animated.start : animated.start + 3, 4, 4]
    assert shown[:, 3].tolist() == [128] * 3
    straight = shown[:, 1].astype(float) / 128 * 255
    assert np.allclose(straight, [110, 130, 150], atol=4)  # JPEG: the middle of each third


def test_the_cache_is_made_once_and_anew_when_the_stickers_change(tmp_path):
    root = write(tmp_path / "shards")
    shards = StickerShards(root)
    assert write_thumbnails(shards, tmp_path / "t", 8) == 21
    assert write_thumbnails(shards, tmp_path / "t", 8) == 0
    assert write_thumbnails(shards, tmp_path / "t", 12) == 21
    write(tmp_path / "shards", groups=7, first=6)
    assert write_thumbnails(StickerShards(root), tmp_path / "t", 12) == 25
    (tmp_path / "t" / "thumbnails.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="must contain thumbnails"):
        read_thumbnails(tmp_path / "t")
    assert write_thumbnails(StickerShards(root), tmp_path / "t", 12) == 25


def test_a_damaged_sticker_is_left_out_and_named(tmp_path):
    root = Path(write(tmp_path / "shards"))
    tar = next(root.glob("*.tar"))
    data = bytearray(tar.read_bytes())
    place = data.index(b"\xff\xd8\xff")  # the first JPEG
    data[place : place + 40] = bytes(40)
    tar.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match="1 damaged stickers are left out"):
        assert write_thumbnails(StickerShards(root), tmp_path / "t", 8) == 20


def test_a_pass_shows_each_drawing_once_in_other_frames_and_variants(tmp_path):
    dataset = Thumbnails(write(tmp_path / "s", variants=2), str(tmp_path / "t"), size=8, frames=4)
    assert len(dataset) == 21
    row = next(row for row in range(21) if dataset[row]["source"] == "fluent")
    seen = Counter(tuple(dataset[p, row]["picture"][:2, 4, 4].tolist()) for p in range(40))
    assert len(seen) == 8  # 4 frames of 2 variants
    assert torch.equal(dataset[3, row]["picture"], dataset[3, row]["picture"])
    sample = dataset[row]
    assert sample["picture"].shape == (4, 8, 8)
    assert sample["picture"].dtype == torch.uint8
    assert sample["caption"].endswith("thing 0")
    assert sample["trigger_words"] == ["thing"]


def test_a_source_that_is_held_out_takes_its_whole_drawing_with_it(tmp_path):
    root = write(tmp_path / "s")
    thumbnails = Thumbnails(root, str(tmp_path / "t"), size=8, held_out="fluent-3d")
    held = {(f"g{group}", source) for group in range(1, 6) for source in ("fluent", "fluent-3d")}
    assert names(thumbnails, "val") == held
    train = names(thumbnails, "train")
    assert not train & held
    assert ("g0", "fluent") in train  # its only drawing
    assert len(train) == 11
    with pytest.raises(UserError, match="held_out must be 'in turn' or one of fluent, fluent-3d, fluent-flat, noto"):
        Thumbnails(root, str(tmp_path / "t"), size=8, held_out="nott").setup()


def test_in_turn_each_group_holds_out_one_of_its_drawings(tmp_path):
    thumbnails = Thumbnails(write(tmp_path / "s", groups=25), str(tmp_path / "t"), size=8, held_out="in turn")
    train, val = names(thumbnails, "train"), names(thumbnails, "val")
    assert not train & val
    assert len(train | val) == 1 + 24 * 4
    for group in range(1, 25):
        held = {thumbnails.drawing(source) for name, source in val if name == f"g{group}"}
        assert len(held) == 1
    assert len({thumbnails.drawing(source) for _, source in val}) == 3
    assert thumbnails.setup().groups == thumbnails.evaluation("val").setup().groups


def test_groups_may_be_divided_by_their_split_instead(tmp_path):
    root = write(tmp_path / "s", groups=40)
    thumbnails = Thumbnails(root, str(tmp_path / "t"), size=8, by_split=True)
    for stage in ("train", "val", "test"):
        assert {split_of(group) for group, _ in names(thumbnails, stage)} == {stage}
    with pytest.raises(UserError, match="cannot both be set"):
        Thumbnails(root, str(tmp_path / "t"), by_split=True, held_out="in turn")


def test_the_data_module_loads_them_in_workers_and_resumes(tmp_path):
    thumbnails = Thumbnails(write(tmp_path / "s"), str(tmp_path / "t"), size=8)
    module = StickerDataModule(thumbnails, batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert batch["picture"].shape == (4, 4, 8, 8)
    assert batch["picture"].dtype == torch.uint8
    assert len(set(batch["key"])) == 4
    copied = pickle.loads(pickle.dumps(module.dataset("train")))
    assert torch.equal(copied[0]["picture"], module.dataset("train")[0]["picture"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(len(batch["key"]) for batch in module.val_dataloader()) == 21
