from glassine.bench.method import TITLES
from glassine.bench.paper_tables import table_two
from glassine.bench.records import Cell, Record

PUBLISHED = [
    {"table": "II", "rows": [{"name": "SAM", "PSNR": 22.86, "SSIM": 0.949}, {"name": "SAM-2", "PSNR": 18, "SSIM": 1}]},
    {"table": "III", "rows": [{"name": "SAM", "PSNR": 99, "SSIM": 1}]},
]


def record(method: str, missing: str = "") -> Record:
    cells = {} if missing else {"white": Cell("x", 1, {"psnr_mean": 21.04, "ssim": 0.9})}
    costs = {} if missing else {"ms_per_frame": 12.0, "parameters": 1_500_000}
    return Record(method, TITLES[method], "test", 64, 8, ["a"], missing=missing, conditions=cells, costs=costs)


def test_published_numbers_stand_beside_ours_and_missing_weights_give_none():
    head, rows = table_two([record("threshold"), record("sam"), record("sam2", missing="no weights")], PUBLISHED)
    assert head[:5] == ["method", "published PSNR (TASD-T)", "published SSIM (TASD-T)", "PSNR, white", "SSIM, white"]
    assert rows == [
        ["SAM, true point and box", "22.86", "0.949", "21.0", "0.900", "12.0", "1.50 M"],
        ["SAM-2, true point and box of one frame (no weights)", "18", "1", "–", "–", "–", "–"],
    ]
