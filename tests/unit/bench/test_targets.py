from glassine.bench.records import Cell, Record
from glassine.bench.targets import targets_table

TARGETS = {
    "method": "cutout",
    "at_least": {"psnr_mean": {"white": 32, "gray": 32}},
    "at_most": {"psnr_share_under_20db": {"white": 0.05}, "ms_per_frame": 68},
}


def record(method: str, psnr: float, share: float, ms: float) -> Record:
    cell = Cell("x", 1, {"psnr_mean": psnr, "psnr_share_under_20db": share})
    costs = {"ms_per_frame": ms}
    return Record(method, method, "test", 64, 8, ["a"], conditions={"white": cell}, costs=costs)


def test_each_target_is_met_or_says_by_how_much_it_is_missed():
    _, rows = targets_table([record("cutout", 30.5, 0.04, 70), record("threshold", 90.0, 0.5, 1)], TARGETS)
    assert rows == [
        ["mean PSNR, white", "at least 32.0 dB", "30.5 dB", "1.5 dB"],
        ["mean PSNR, gray", "at least 32.0 dB", "–", "–"],  # not measured
        ["share under 20 dB, white", "at most 5%", "4%", "met"],
        ["ms a frame", "at most 68.0", "70.0", "2.00"],
    ]


def test_a_method_that_should_be_above_another_one_names_where_it_is_not():
    targets = {"method": "cutout", "above": {"threshold": "psnr_mean"}}
    ours, theirs = record("cutout", 30.5, 0.0, 1), record("threshold", 29.0, 0.0, 1)
    assert targets_table([ours, theirs], targets)[1] == [
        ["mean PSNR above threshold", "everywhere", "1 of 1 conditions", "met"]
    ]
    theirs.conditions["white"].scores["psnr_mean"] = 31.0
    assert targets_table([ours, theirs], targets)[1] == [
        ["mean PSNR above threshold", "everywhere", "0 of 1 conditions", "white"]
    ]


def test_an_error_that_should_be_the_smallest_names_where_another_is_smaller():
    ours, own, theirs = (record(name, 30.0, 0.0, 1) for name in ("cutout", "ildiff_own", "sam"))
    for row, error in ((ours, 2.0), (own, 1.0), (theirs, 3.0)):
        row.conditions["white"].scores["dtssd"] = error
    targets = {"method": "cutout", "below_all": "dtssd"}
    line = ["lowest mean dtSSD", "everywhere"]
    assert targets_table([ours, own, theirs], targets)[1] == [[*line, "1 of 1 conditions", "met"]]
    theirs.conditions["white"].scores["dtssd"] = 1.5
    assert targets_table([ours, own, theirs], targets)[1] == [[*line, "0 of 1 conditions", "white"]]
