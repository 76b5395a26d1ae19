"""`glassine data cache-latents`, as a user types it, on procedural stickers and with small networks."""

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from tests.helpers.tiny_generator import SCHEDULE, LetterText
from tests.helpers.tiny_transparent import CODEC, tiny_codec, tiny_motion_unet

from glassine.__main__ import main
from glassine.bench.text_tokenizer import make_tokenizer
from glassine.data.dataset import Stickers
from glassine.data.latent_cache import CachedLatents
from glassine.data.shards import ShardFormat, build_shards
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.transparent_video import TransparentVideo
from glassine.models.vae import SmallVAE
from glassine.nn.conditioning import motion_amount
from glassine.pretrained.priors import check_latents
from glassine.pretrained.text_encoder import TextEncoder, small_bert
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.tasks.transparent_image import check_cache
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

VAE = {"width": 8, "decoder_width": 8, "blocks": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    build_shards(ProceduralStickers(size=32, num_frames=4, length=12), folder, ShardFormat(), workers=1)
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> tuple[str, str]:
    """Folders of a VAE and of a text encoder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks")
    save_bundle(SmallVAE(**VAE), {"class_path": "glassine.models.vae.SmallVAE", "init_args": VAE}, folder / "vae")
    make_tokenizer(["a red cat"], [], 90).save_pretrained(folder / "text")
    small_bert(90, 16, 1, 2, 40).save_pretrained(folder / "text")
    return str(folder / "vae"), str(folder / "text")


def arguments(shards: Path, networks: tuple[str, str], folder: Path, *more: str) -> list[str]:
    names = ["data", "cache-latents", str(shards), "--to", str(folder), "--vae", networks[0]]
    return [*names, "--text-encoder", networks[1], "--frames", "3", "--size", "32", "--device", "cpu", *more]


def test_what_is_cached_is_what_the_networks_make_of_the_stickers(shards, networks, tmp_path, capsys):
    folder = tmp_path / "latents"
    assert main(arguments(shards, networks, folder, "--views", "2", "--background", "gray", "--length", "40")) == 0
    assert "stickers in 2 views" in capsys.readouterr().out
    assert main(arguments(shards, networks, folder, "--views", "2", "--background", "gray", "--length", "40")) == 0
    assert "0 new files" in capsys.readouterr().out
    vae, encoder = load_bundle(networks[0]), TextEncoder(networks[1], length=40, too_long="cut")
    cache = CachedLatents(folder, 3, (32, 32), chinese=0).setup()
    check_latents(cache.identity, vae, encoder)

    from glassine.data.views import StickerViews

    stickers = Stickers(str(shards), num_frames=3, size=(32, 32), stills=True)
    views = StickerViews(stickers, (128, 128, 128))
    assert len(cache) == len(views)
    for number, row in ((0, 0), (1, 2), (2, 2)):
        item, sample = cache[number, row], views[number % 2, row]
        latents = vae.encode(2 * sample["clip"] - 1).latent_dist.mean
        torch.testing.assert_close(item["latents"], latents, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(item["prompt_embeds"], encoder([item["caption"]])[0], atol=2e-3, rtol=2e-3)
        assert item["caption"] == sample["caption"]
    assert "\u7684" in " ".join(CachedLatents(folder, chinese=1)[row]["caption"] for row in range(len(cache)))
    torch.testing.assert_close(cache.empty_prompt_embeds, encoder([""])[0], atol=2e-3, rtol=2e-3)


def test_transparent_latents_are_the_codecs_and_say_whose_and_how_much_moves(shards, networks, tmp_path, capsys):
    folder, codec = tmp_path / "latents", tiny_codec().requires_grad_(True)
    description = {"class_path": "glassine.models.transparency.TransparencyVAE", "init_args": CODEC}
    save_bundle(codec, description, tmp_path / "codec", torch.float32)
    how = ["data", "cache-latents", str(shards), "--to", str(folder), "--text-encoder", networks[1], "--frames", "3"]
    how += ["--size", "32", "--device", "cpu", "--views", "2", "--transparent", "--codec", str(tmp_path / "codec")]
    assert main(how) == 0
    encoder = TextEncoder(networks[1], too_long="cut")
    cache = CachedLatents(folder, 3, (32, 32), chinese=0).setup()
    assert cache.identity["transparency"] == weights_digest(codec.encoder)
    assert cache.identity["vae"] == weights_digest(codec.vae)

    from glassine.data.views import StickerViews

    stickers = Stickers(str(shards), num_frames=3, size=(32, 32), stills=True)
    views = StickerViews(stickers, None)
    for number, row in ((0, 0), (1, 2)):
        item, clip = cache[number, row], views[number, row]["clip"]
        latents = codec.encode(clip[:, :3], clip[:, 3:]).detach()
        torch.testing.assert_close(item["latents"], latents, atol=2e-3, rtol=2e-3)
        moved = motion_amount(clip[None, :, :3], clip[None, :, 3:]).item()
        assert item["motion"] == pytest.approx(moved, abs=1e-4)
    generator = TransparentVideo(tiny_motion_unet(), codec, LetterText(), DDPMScheduler(**SCHEDULE))
    generator.text_encoder = encoder
    check_cache(cache.identity, generator, transparent=True)
    with pytest.raises(UserError, match="not from opaque clips"):
        check_cache(cache.identity, generator, transparent=False)
    with pytest.raises(UserError, match="carry alpha, but this task trains on opaque clips"):
        check_latents(cache.identity, codec.vae, encoder)
    torch.nn.init.ones_(codec.encoder.blocks[-1].bias)
    with pytest.raises(UserError, match="not from this transparency encoder"):
        check_cache(cache.identity, generator, transparent=True)
    assert main([*how, "--background", "gray"]) == 2
    assert "cannot be combined with --vae or --background" in capsys.readouterr().err
    assert main([*how[:-1], networks[0]]) == 2
    assert "transparent latents need a TransparencyVAE" in capsys.readouterr().err


def test_opaque_latents_say_how_much_moves_too(shards, networks, tmp_path):
    assert main(arguments(shards, networks, tmp_path, "--views", "1", "--limit", "3")) == 0
    cache = CachedLatents(tmp_path).setup()
    assert cache.has_motion
    assert max(cache[row]["motion"] for row in range(3)) > 0


@torch.no_grad()
def test_whole_stickers_are_what_evaluation_sees_and_no_cache_of_random_parts(shards, networks, tmp_path, capsys):
    how = arguments(shards, networks, tmp_path, "--limit", "2", "--length", "40")
    assert main([*how, "--whole"]) == 0
    assert "stickers in 1 views" in " ".join(capsys.readouterr().out.split())
    seen = Stickers(str(shards), num_frames=3, size=(32, 32), stills=True, training=False)
    wanted = load_bundle(networks[0]).encode(2 * seen[0]["clip"] - 1).latent_dist.mean
    torch.testing.assert_close(CachedLatents(tmp_path)[0]["latents"], wanted, atol=2e-3, rtol=2e-3)
    assert main(how) == 2
    assert "other pictures" in capsys.readouterr().err
    with pytest.raises(UserError, match="for whole stickers in"):
        CachedLatents(tmp_path, 2).setup()
    assert CachedLatents(tmp_path, 1)[0]["latents"].shape[0] == 1


def test_a_cache_of_other_networks_is_refused(shards, networks, tmp_path, capsys):
    folder = tmp_path / "latents"
    assert main(arguments(shards, networks, folder, "--views", "1", "--limit", "2")) == 0
    assert main(arguments(shards, networks, folder, "--views", "1", "--limit", "2", "--length", "9")) == 2
    assert "another VAE or text encoder" in capsys.readouterr().err
    encoder = TextEncoder(networks[1])
    cached = CachedLatents(folder).setup().identity
    check_latents(cached, load_bundle(networks[0]), encoder)
    check_latents(None, SmallVAE(**VAE), encoder)
    with pytest.raises(UserError, match=r"another VAE or text encoder \(vae \w+\) than this run's \(vae \w+\)"):
        check_latents(cached, SmallVAE(**VAE), encoder)


def test_captions_that_are_too_long_are_cut_and_counted(shards, networks, tmp_path, capsys):
    assert main(arguments(shards, networks, tmp_path / "latents", "--limit", "2", "--length", "5")) == 0
    assert "captions of more than 3 tokens were truncated" in " ".join(capsys.readouterr().out.split())


def test_rendered_stickers_alone_and_stills_alone_can_be_cached(shards, networks, tmp_path, capsys):
    rendered = arguments(shards, networks, tmp_path / "rendered", "--procedural", "3")
    rendered.remove(str(shards))
    assert main([*rendered, "--views", "1"]) == 0
    assert len(CachedLatents(tmp_path / "rendered")) == 3
    build_shards(ProceduralStickers(size=32, num_frames=1, length=12), tmp_path / "shards", ShardFormat(), workers=1)
    assert main(arguments(tmp_path / "shards", networks, tmp_path / "stills", "--stills-only", "--views", "1")) == 0
    assert CachedLatents(tmp_path / "stills")[0]["latents"].shape[0] == 3
    assert main(arguments(shards, networks, tmp_path / "none", "--stills-only")) == 2
    rendered = rendered[: rendered.index("--procedural")]
    assert main(rendered) == 2
    assert "SHARDS or --procedural must be given, got neither" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--size", "30"], "multiples of 8"),
        (["--views", "0"], "--views and --frames must be at least 1"),
        (["--background", "auto"], "must be one color"),
        (["--vae", "glassine:tiny-sam"], "latents need a VAE"),
        (["--whole", "--views", "2"], "--views must be 1 for whole stickers"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(shards, networks, tmp_path, capsys, more, message):
    assert main(arguments(shards, networks, tmp_path / "latents", *more)) == 2
    assert message in capsys.readouterr().err
