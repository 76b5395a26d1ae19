import torch

from glassine.data.alpha import composite_frames
from glassine.data.dataset import Stickers
from glassine.data.views import StickerViews
from glassine.nn.conditioning import motion_amount

RED = (255, 0, 0)


def views() -> StickerViews:
    stickers = Stickers(procedural=4, num_frames=3, size=(24, 24))
    return StickerViews(stickers, RED)


def test_views_differ_in_frames_and_in_nothing_else():
    shown = views()
    for row in range(4):
        first, second = shown[0, row], shown[1, row]
        for name in ("key", "caption", "caption_zh", "group", "trigger_words"):
            assert first[name] == second[name]
        assert torch.equal(first["clip"], shown[0, row]["clip"])
    assert any(not torch.equal(shown[0, row]["clip"], shown[1, row]["clip"]) for row in range(4))


def test_whole_stickers_are_what_evaluation_sees_in_every_view():
    whole = StickerViews(Stickers(procedural=4, num_frames=3, size=(24, 24)), (255, 255, 255), whole=True)
    frames, _, _ = whole.parts[0].clip(0, 0, 3, None)
    wanted = torch.from_numpy(composite_frames(frames, (255, 255, 255))).permute(0, 3, 1, 2) / 255
    for view in (0, 1):
        torch.testing.assert_close(whole[view, 0]["clip"], wanted)


def test_stickers_stand_on_the_color_and_have_their_chinese_caption():
    sample = views()[0, 1]
    assert sample["clip"].shape == (3, 3, 24, 24)
    torch.testing.assert_close(sample["clip"][:, :, 0, 0], torch.tensor(RED).expand(3, 3) / 255)
    domain, description = sample["caption_zh"].split("\t")
    assert domain == sample["caption"].split("\t")[0]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in description)


def test_without_a_color_they_are_transparent_and_padded_with_color():
    stickers = Stickers(procedural=4, num_frames=3, size=(24, 24))
    clear, opaque = StickerViews(stickers, None)[1, 2]["clip"], StickerViews(stickers, RED)[1, 2]["clip"]
    assert clear.shape == (3, 4, 24, 24)
    color, alpha = clear[:, :3], clear[:, 3:]
    red = torch.tensor(RED).view(3, 1, 1) / 255
    torch.testing.assert_close(color * alpha + red * (1 - alpha), opaque, atol=0.01, rtol=0)
    nowhere = (alpha == 0).expand_as(color)
    assert color[nowhere].mean() > 0.05  # colors from around, not black


def test_motion_is_measured_step_by_step_whatever_they_stand_on():
    stickers = Stickers(procedural=4, num_frames=3, size=(24, 24))
    on_red, clear = (StickerViews(stickers, color, motion_amount) for color in (RED, None))
    for row in range(4):
        sample = clear[0, row]
        steps, clip = sample["motion"], sample["clip"][None]
        assert steps.shape == (2,)
        torch.testing.assert_close(steps.mean(), motion_amount(clip[:, :, :3], clip[:, :, 3:])[0], atol=1e-4, rtol=0)
        assert torch.equal(on_red[0, row]["motion"], steps)
    still = Stickers(procedural=4, num_frames=1, size=(24, 24))
    assert StickerViews(still, RED, motion_amount)[0, 0]["motion"].shape == (0,)
