import pickle

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from glassine.data.datamodule import StickerDataModule
from glassine.data.dataset import Stickers
from glassine.data.latent_cache import CachedLatents, write_latents
from glassine.utils.errors import UserError

IDENTITY = {"vae": "abc", "text_digest": "xyz"}
SETTINGS = {"num_frames": "3", "size": "16 x 16"}
TOKENS = 6


class SevenStickers(Dataset):
    """Seven stickers; what a view shows, and which have a Chinese caption, can be told from row and view."""

    def __getitem__(self, item: tuple[int, int]) -> dict:
        view, row = item
        clip = torch.linspace(0, 1, 16).expand(3, 3, 16, 16) * (row + 1) / 8 + view / 100
        names = {"caption": f"Cartoon\tcat {row}", "caption_zh": f"Cartoon\t猫 {row}" if row % 2 else ""}
        about = {"trigger_words": ["cat", str(row)], "key": f"s{row}", "group": f"g{row // 2}", "domain": "cartoon"}
        return {"clip": clip, "fps": 8.0 + view, **names, **about}


def encode(clip: torch.Tensor) -> torch.Tensor:
    return F.interpolate(clip, (2, 2), mode="area")


def embed(texts: list[str]) -> torch.Tensor:
    """Six tokens, of which as many are not padding as a text has letters, at most five."""
    numbers = torch.tensor([[sum(map(ord, text)) % 97 + 1.0] for text in texts])  # b 1
    used = torch.tensor([[place < min(5, len(text) + 1) for place in range(TOKENS)] for text in texts])
    return (numbers * used)[..., None].expand(-1, -1, 4)


def write(folder, identity=IDENTITY, settings=SETTINGS, encode=encode, **arguments) -> int:
    arguments = {"views": 2, "stickers_a_file": 3} | arguments
    return write_latents(
        SevenStickers(), 7, arguments.pop("views"), encode, embed, identity, settings, folder, **arguments
    )


def test_each_pass_shows_the_next_view_of_each_sticker(tmp_path):
    assert write(tmp_path) == 3
    cache = CachedLatents(tmp_path, chinese=0).setup()
    assert (len(cache), cache.identity) == (7, IDENTITY)
    for row in range(7):
        for number in range(5):
            item, sample = cache[number, row], SevenStickers()[number % 2, row]
            torch.testing.assert_close(item["latents"], encode(sample["clip"]), atol=1e-3, rtol=0)
            assert torch.equal(item["prompt_embeds"], embed([sample["caption"]])[0])
            assert item["fps"] == sample["fps"]
            for name in ("caption", "trigger_words", "key", "group", "domain"):
                assert item[name] == sample[name]
    assert torch.equal(cache.empty_prompt_embeds, embed([""])[0])
    assert torch.equal(cache[4]["latents"], cache[0, 4]["latents"])


def test_the_stickers_of_a_group_can_take_turns(tmp_path):
    write(tmp_path)
    cache = CachedLatents(tmp_path, chinese=0, by_group=True).setup()
    assert len(cache) == 4
    shown = [[cache[number, row]["key"] for number in range(4)] for row in range(4)]
    assert shown == [["s0", "s1"] * 2, ["s2", "s3"] * 2, ["s4", "s5"] * 2, ["s6"] * 4]
    rates = [cache[number, 0]["fps"] for number in range(6)]
    assert rates == [8.0, 8.0, 9.0, 9.0, 8.0, 8.0]  # the next view once all have been shown


def test_chinese_captions_come_at_the_given_share_with_their_own_embedding(tmp_path):
    write(tmp_path)
    for share in (0.0, 0.3, 1.0):
        cache = CachedLatents(tmp_path, chinese=share).setup()
        drawn = [cache[number, row] for row in (1, 3) for number in range(80)]
        found = sum("猫" in item["caption"] for item in drawn) / len(drawn)
        assert abs(found - share) < 0.12
        for item in drawn[::37]:
            assert torch.equal(item["prompt_embeds"], embed([item["caption"]])[0])
        assert not any("猫" in cache[number, 2]["caption"] for number in range(20))
        assert [item["caption"] for item in drawn] == [cache[n, r]["caption"] for r in (1, 3) for n in range(80)]


def test_fewer_frames_are_a_run_of_them_from_a_place_that_changes_with_the_pass(tmp_path):
    def numbered(clip):  # each frame another picture
        return encode(clip) + torch.arange(3.0)[:, None, None, None]

    write(tmp_path, encode=numbered)
    whole, two = CachedLatents(tmp_path), CachedLatents(tmp_path, num_frames=2)
    starts = set()
    for number in range(0, 40, 2):
        clip, part = whole[number, 4]["latents"], two[number, 4]["latents"]
        assert part.shape == (2, 3, 2, 2)
        (start,) = [start for start in range(2) if torch.equal(part, clip[start : start + 2])]
        assert torch.equal(part, two[number, 4]["latents"])
        starts.add(start)
    assert starts == {0, 1}


def test_mirrored_views_stand_between_the_others(tmp_path):
    write(tmp_path, flip=True)
    cache = CachedLatents(tmp_path).setup()
    clip = SevenStickers()[1, 5]["clip"]
    torch.testing.assert_close(cache[2, 5]["latents"], encode(clip), atol=1e-3, rtol=0)
    torch.testing.assert_close(cache[3, 5]["latents"], encode(clip.flip(-1)), atol=1e-3, rtol=0)
    assert torch.equal(cache[4, 5]["latents"], cache[0, 5]["latents"])
    assert cache[3, 5]["fps"] == 9


def test_an_interrupted_cache_is_refused_until_it_is_finished(tmp_path):
    seen = []

    def stopped(clip):
        seen.append(clip)
        if len(seen) == 9:
            raise KeyboardInterrupt
        return encode(clip)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, encode=stopped)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latents-000000.safetensors"]
    with pytest.raises(UserError, match=r"1 of 3 files: run the same `glassine data cache-latents` again"):
        CachedLatents(tmp_path).setup()
    assert write(tmp_path) == 2
    assert write(tmp_path) == 0
    whole = tmp_path / "whole"
    write(whole)
    for item, other in zip(map(CachedLatents(tmp_path).__getitem__, range(7)), CachedLatents(whole), strict=False):
        assert item.pop("latents").equal(other.pop("latents"))
        assert item.pop("prompt_embeds").equal(other.pop("prompt_embeds"))
        assert item == other


def test_a_cache_of_other_networks_or_stickers_is_not_written_into(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match=r"another VAE or text encoder \(vae abc, text_digest xyz\).*vae other"):
        write(tmp_path, identity=IDENTITY | {"vae": "other"})
    with pytest.raises(UserError, match="other pictures"):
        write(tmp_path, settings=SETTINGS | {"size": "32 x 32"})
    with pytest.raises(UserError, match="other pictures"):
        write(tmp_path, flip=True)


def test_damage_and_what_does_not_fit_are_said(tmp_path):
    with pytest.raises(UserError, match=r"no cached latents in .*: make them with `glassine data cache-latents`"):
        CachedLatents(tmp_path).setup()
    write(tmp_path)
    with pytest.raises(UserError, match=r"must be of size 32 x 32, got 16 x 16"):
        CachedLatents(tmp_path, size=(32, 32)).setup()
    with pytest.raises(UserError, match=r"num_frames must be at most 3 for .*, got 8"):
        CachedLatents(tmp_path, num_frames=8).setup()
    with pytest.raises(UserError, match=r"chinese must be in \[0, 1\], got 1.5"):
        CachedLatents(tmp_path, chinese=1.5)
    second = tmp_path / "latents-000001.safetensors"
    second.write_bytes(second.read_bytes()[:100])
    with pytest.raises(UserError, match=r"latents-000001\.safetensors is not a file of cached latents or is damaged"):
        CachedLatents(tmp_path).setup()


def test_a_sticker_that_turns_out_damaged_gives_way_in_all_views(tmp_path):
    class Damaged(SevenStickers):
        met = False

        def __getitem__(self, item):
            self.met = self.met or item == (1, 2)  # a frame that only the second view has
            return super().__getitem__((item[0], 3 if self.met and item[1] == 2 else item[1]))

    write_latents(Damaged(), 7, 2, encode, embed, IDENTITY, SETTINGS, tmp_path)
    cache = CachedLatents(tmp_path).setup()
    assert torch.equal(cache[0, 2]["latents"], cache[0, 3]["latents"])
    assert cache[0, 2]["key"] == "s3"


def test_workers_can_have_it(tmp_path):
    write(tmp_path)
    cache = CachedLatents(tmp_path).setup()
    first = cache[6]["latents"]
    assert torch.equal(pickle.loads(pickle.dumps(cache))[6]["latents"], first)


def test_the_data_module_trains_on_it_and_validates_on_stickers(tmp_path):
    write(tmp_path)
    val = Stickers(None, "val", (16, 16), 3, procedural=8)
    module = StickerDataModule(CachedLatents(tmp_path, 3, (16, 16)), val, batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert batch["latents"].shape == (4, 3, 3, 2, 2)
    assert batch["prompt_embeds"].shape == (4, TOKENS, 4)
    assert batch["fps"].shape == (4,)
    assert (module.latents_identity, module.features_identity) == (IDENTITY, None)
    assert "clip" in next(iter(module.val_dataloader()))
    assert StickerDataModule(val).latents_identity is None
    with pytest.raises(UserError, match=r"data.val must be a dataset where CachedLatents stands before it, got null"):
        StickerDataModule(CachedLatents(tmp_path)).dataset("val")


class Moving(SevenStickers):
    """Those that also say how much each of their two steps moves."""

    def __getitem__(self, item: tuple[int, int]) -> dict:
        view, row = item
        return super().__getitem__(item) | {"motion": torch.tensor([row / 100, (row + view) / 50])}


def write_moving(folder, **arguments) -> int:
    return write_latents(Moving(), 7, 2, encode, embed, IDENTITY, SETTINGS, folder, stickers_a_file=3, **arguments)


def test_motion_is_the_mean_over_the_steps_of_the_frames_that_are_shown(tmp_path):
    write_moving(tmp_path / "plain")
    whole, one = CachedLatents(tmp_path / "plain").setup(), CachedLatents(tmp_path / "plain", num_frames=1)
    assert whole.has_motion
    assert whole[1, 4]["motion"] == pytest.approx((0.04 + 0.1) / 2)
    assert one[1, 4]["motion"] == 0
    two = {CachedLatents(tmp_path / "plain", num_frames=2)[number, 4]["motion"] for number in range(1, 41, 2)}
    assert sorted(two) == pytest.approx([0.04, 0.1])
    write_moving(tmp_path / "mirrored", flip=True)
    mirrored = CachedLatents(tmp_path / "mirrored").setup()
    assert [mirrored[view, 4]["motion"] for view in range(4)] == pytest.approx([0.06, 0.06, 0.07, 0.07])


def test_caches_without_motion_still_load_and_one_that_was_finished_with_it_has_none(tmp_path):
    write(tmp_path)
    assert not CachedLatents(tmp_path).setup().has_motion
    assert "motion" not in CachedLatents(tmp_path)[0]
    (tmp_path / "latents-000002.safetensors").unlink()
    assert write_moving(tmp_path) == 1
    finished = CachedLatents(tmp_path).setup()
    assert not finished.has_motion
    assert "motion" not in finished[6]


def test_motion_comes_in_batches(tmp_path):
    write_moving(tmp_path)
    module = StickerDataModule(CachedLatents(tmp_path), batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert batch["motion"].shape == (4,)
    assert batch["motion"].dtype == torch.float32


def test_the_samples_of_several_caches_come_one_after_the_other(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", encode=lambda clip: clip[..., :2, :2])
    parts = [CachedLatents(tmp_path / name) for name in "ab"]
    joined = CachedLatents([str(tmp_path / name) for name in "ab"])
    assert (len(joined), joined.identity) == (14, IDENTITY)
    for row in (0, 6, 7, 13):
        item, expected = joined[1, row], parts[row // 7][1, row % 7]
        assert torch.equal(item["latents"], expected["latents"])
        assert item["key"] == expected["key"]
    assert joined[8]["key"] == "s1"
    with pytest.raises(IndexError):
        joined[14]


def test_caches_of_different_networks_and_none_are_refused(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", identity=IDENTITY | {"vae": "other"})
    with pytest.raises(UserError, match=r"same VAE and text encoder, got different ones in .*a and .*b"):
        CachedLatents([str(tmp_path / name) for name in "ab"]).setup()
    with pytest.raises(UserError, match="at least one cache"):
        CachedLatents([])


def test_motion_is_handed_on_only_where_all_have_it(tmp_path):
    write_moving(tmp_path / "a")
    write(tmp_path / "b")
    with_motion, without = (str(tmp_path / name) for name in "ab")
    assert CachedLatents([with_motion, with_motion])[8]["motion"] == CachedLatents(with_motion)[1]["motion"]
    mixed = CachedLatents([with_motion, without]).setup()
    assert not mixed.has_motion
    assert "motion" not in mixed[1]
    assert mixed[1].keys() == mixed[8].keys()
