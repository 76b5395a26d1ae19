import json

import torch

from glassine.bench.generation.clip_files import write_clips
from glassine.bench.generation.test_set import CaptionedClip
from glassine.data.codecs import read_sticker
from glassine.study.plan import find_prompts, read_prompts
from glassine.study.server import match_items


def test_clips_of_two_methods_can_be_compared_by_people(tmp_path):
    wanted = [CaptionedClip(key, f"Cartoon\t{key}", (), torch.rand(2, 3, 8, 8), torch.rand(2, 4, 8, 8)) for key in "ab"]
    for method, channels in (("ours", 4), ("theirs", 3)):
        write_clips(torch.rand(2, 2, channels, 8, 8), wanted, tmp_path / method)
    items = match_items({name: tmp_path / name for name in ("ours", "theirs")})
    assert [item.name for item in items] == ["a", "b"]
    assert read_prompts(find_prompts([tmp_path / "ours"]), ["a", "b"]) == {"a": "a", "b": "b"}
    assert json.loads((tmp_path / "theirs" / "prompts.json").read_text())["b"] == "b"
    assert (read_sticker(tmp_path / "theirs" / "a.webp").frames[..., 3] == 255).all()
