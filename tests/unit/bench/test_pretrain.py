from pathlib import Path

import yaml

from glassine.bench.pretrain import EXPERIMENTS, data_overrides


def test_other_shards_are_handed_to_whatever_reads_shards(tmp_path: Path):
    found = {}
    for name, content in {
        "clips": {"root": "a"},
        "single": {"thumbnails": {"init_args": {"root": "a"}}},
        "none": {},
    }.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"data": content}), encoding="utf-8")
        found[name] = data_overrides(tmp_path / f"{name}.yaml", "mine")
        assert not data_overrides(tmp_path / f"{name}.yaml", None)
    assert found == {
        "clips": ["--data.root", "mine"],
        "single": ["--data.thumbnails.init_args.root", "mine"],
        "none": [],
    }
    assert data_overrides(EXPERIMENTS / "evaluators/names.yaml", "mine") == found["single"]
