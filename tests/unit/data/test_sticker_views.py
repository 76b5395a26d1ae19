import torch

from glassine.data.datamodule import StickerDataModule
from glassine.data.sticker_views import StickerViews

RED = (255, 0, 0)


def views() -> StickerViews:
    stickers = StickerDataModule(procedural=4, num_frames=3, size=(24, 24)).dataset("train")
    return StickerViews(stickers, RED)


def test_views_differ_in_frames_and_in_nothing_else():
    shown = views()
    for row in range(4):
        first, second = shown[0, row], shown[1, row]
        for name in ("key", "caption", "caption_zh", "group", "trigger_words"):
            assert first[name] == second[name]
        assert torch.equal(first["clip"], shown[0, row]["clip"])
    assert any(not torch.equal(shown[0, row]["clip"], shown[1, row]["clip"]) for row in range(4))


def test_stickers_stand_on_the_colour_and_have_their_chinese_caption():
    sample = views()[0, 1]
    assert sample["clip"].shape == (3, 3, 24, 24)
    torch.testing.assert_close(sample["clip"][:, :, 0, 0], torch.tensor(RED).expand(3, 3) / 255)
    domain, description = sample["caption_zh"].split("\t")
    assert domain == sample["caption"].split("\t")[0]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in description)
