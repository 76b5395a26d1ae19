"""The papers' orderings: read off their numbers, judged on records."""

from pathlib import Path

import pytest
import yaml

from glassine.bench.claims import claims_page, judge_all, read_claims, verdict_block
from glassine.bench.records import Cell, Record
from glassine.utils.errors import UserError

REPOSITORY = Path(__file__).parents[3]
ENTRY = {
    "paper": "P",
    "table": "I",
    "published": "published.yaml",
    "results": "alpha",
    "conditions": ["white"],
    "own": "Ours",
    "scores": {
        "PSNR": {"score": ["finer", "psnr_mean"], "higher": True},
        "error": {"score": "mad", "higher": False, "data": "real"},
    },
    "rows": {"Ours": "ours", "Old": "old", "Older": "older"},
    "incomparable": {"Older": "another size"},
    "texts": [{"says": "ours is finer", "better": "Ours", "worse": "Old", "columns": ["PSNR"]}],
}
PUBLISHED = [
    {
        "table": "I",
        "rows": [
            {"name": "Old", "PSNR": 20, "error": 2},
            {"name": "Ours", "PSNR": 30, "error": 3},
            {"name": "Older", "PSNR": 20, "error": None},
        ],
    }
]


def write(folder: Path, entry=ENTRY) -> Path:
    (folder / "claims.yaml").write_text(yaml.safe_dump([entry]))
    (folder / "published.yaml").write_text(yaml.safe_dump(PUBLISHED))
    return folder


def rows(method: str, psnr: float, data: str = "") -> list[Record]:
    keys = [f"k{number}" for number in range(30)]
    values = [psnr + number % 3 for number in range(30)]
    cell = Cell("x", 30, {"psnr_mean": sum(values) / 30}, keys=keys, groups=keys, items={"psnr_mean": values})
    costs = {"parameters": 3.0}
    return [
        Record(method, method, "test", 8, 2, keys, data, seed=seed, conditions={"white": cell}, costs=costs)
        for seed in range(3)
    ]


def test_directions_are_those_of_the_published_numbers_and_ties_and_gaps_claim_nothing(tmp_path):
    found = {(one.what, one.better, one.worse) for one in read_claims(write(tmp_path))}
    assert found == {
        ("PSNR", "Ours", "Old"),
        ("PSNR", "Ours", "Older"),
        ("error", "Old", "Ours"),
        ("ours is finer (PSNR)", "Ours", "Old"),
    }
    (error,) = [one for one in read_claims(tmp_path) if one.what == "error"]
    assert error.rows == ("old/real", "ours/real")


def test_every_claim_gets_a_verdict_in_a_score_that_both_rows_have(tmp_path):
    records = {"alpha": [*rows("ours", 25.0), *rows("old", 22.0), *rows("older", 21.0)]}
    judged = judge_all(read_claims(write(tmp_path)), records)
    said = {(one.claim.what, one.claim.worse): (one.score, one.verdict.word, one.verdict.reason) for one in judged}
    assert said["PSNR", "Old"] == ("psnr_mean", "holds", "")
    assert said["PSNR", "Older"] == ("psnr_mean", "undecided", "another size")
    assert said["error", "Ours"] == ("mad", "not measured", "")
    page = claims_page(judged)
    line = "| P I | Ours before Old | PSNR | 30 before 20 | `psnr_mean` | +3.00 [3.00, 3.00] | 30 (30) | **holds** |"
    assert line in page
    assert "| P, table I | 2 | 0 | 1 | 1 |" in page
    assert "not measured |" not in verdict_block(judged).split("ordering")[1]


def test_a_file_of_another_form_is_one_line(tmp_path):
    entry = {name: value for name, value in ENTRY.items() if name != "rows"}
    with pytest.raises(UserError, match=r"claims\.yaml must have paper, table"):
        read_claims(write(tmp_path, entry))
    assert read_claims(tmp_path / "nothing") == []


def test_the_claims_of_the_repository_name_published_rows_and_scores():
    claims = read_claims(REPOSITORY / "benchmarks")
    tables = {(one.paper, one.table) for one in claims}
    assert {("ILDiff", "II"), ("ILDiff", "III"), ("VSD2M", "4"), ("VSD2M", "7"), ("Layer-Animate", "I")} <= tables
    (one,) = [c for c in claims if (c.table, c.what, c.better, c.worse) == ("II", "PSNR", "ILDiff", "LayerDiffuse")]
    assert one.published == "28.04 before 26.42"
    assert one.rows == ("ildiff_paper", "layer_diffuse_tuned")
