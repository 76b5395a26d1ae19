"""Tables of transparent clips, from records."""

from glassine.bench.animation_report import animation_report, readme_blocks
from glassine.bench.records import Cell, Record
from glassine.bench.video_methods import REFERENCE_TITLES


def test_the_page_has_our_rows_apart_from_the_published_ones():
    def record(name: str, title: str, seed: int, data: str = "transparent") -> Record:
        scores = {"clip_glassine_score_white": 20.0 + seed, "alpha_flicker": 1.5, "psnr_mean": 30.0}
        costs = {"steps": 5.0, "seconds_per_clip": 2.0, "parameters": 5e6}
        settings = {"sampler": "dpm++ 10", "guidance_scale": 5.0}
        cells = {"stickers": Cell("x", 4, dict(scores))}
        return Record(name, title, "test", 32, 8, [], data, seed=seed, conditions=cells, costs=costs, settings=settings)

    records = [record("layer_animate", "Layer-Animate", seed) for seed in (0, 1)]
    records += [
        record("codec", REFERENCE_TITLES["codec"], 0, ""),
        record("latents", REFERENCE_TITLES["latents"], 0, ""),
    ]
    row = {"name": "Layer-Animate", "CLIP score": 30.63, "dynamic degree": 4.43}
    published = [
        {"table": "I", "title": "t", "data": "d", "paper": "Layer-Animate", "columns": list(row)[1:], "rows": [row]}
    ]
    ours, theirs = animation_report(records, published).split("## Published")
    assert "|  | published CLIP score | published dynamic degree | clip_glassine score" in ours
    assert "| Layer-Animate (2 seeds) | 30.63 | 4.43 | 20.5 ± 0.7 |" in ours
    assert "| Inter-Frame Attention, all that is trained | 24.781 |" in ours
    assert "against themselves: PSNR 30.0" in ours
    assert "30.63" in theirs
    blocks = readme_blocks(records, published)
    assert blocks.keys() == {"animation", "animation_ablation", "animation_routes"}
    assert "| Layer-Animate (2 seeds) |" in blocks["animation"]
    assert "Every method: 5 steps" in blocks["animation"]
