import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.__main__ import main
from glassine.data.shards import StickerShards


def animation(seed: int) -> bytes:
    frames = []
    for frame in range(6):
        pixels = np.zeros((48, 64, 4), np.uint8)
        pixels[8 + frame : 32 + frame, 10:50] = [40 * seed, 120, 200, 255]
        frames.append(Image.fromarray(pixels))
    data = BytesIO()
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    return data.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(5):
        (files / f"wave{number}.webp").write_bytes(animation(number))
    rows = [f'wave{number}.webp,a wave {number},浪 {number},wave;sea,"",cartoon' for number in range(5)]
    (tmp_path / "table.csv").write_text("file,description,description_zh,trigger_words,ocr,domain\n" + "\n".join(rows))
    return tmp_path


def build(folder: Path, *more: str) -> int:
    table = str(folder / "table.csv")
    given = ["--from", str(folder / "files"), "--to", str(folder / "shards"), "--table", table, "--workers", "0"]
    return main(["data", "build", *given, *more])


def test_build_then_info_then_view(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(folder, "--size", "32", "--fps", "10") == 0
    assert "5 stickers written" in capsys.readouterr().out.replace("\n", " ")
    shards = StickerShards(folder / "shards")
    info = shards.metadata(2)
    assert (info.description, info.description_zh, info.trigger_words) == ("a wave 2", "浪 2", ("wave", "sea"))
    assert shards.read(2, [0]).shape == (1, 24, 32, 4)
    assert shards.durations(2) == (100, 100, 100)

    assert main(["data", "info", str(folder / "shards")]) == 0
    out = capsys.readouterr().out
    assert "5 stickers in 1 shards" in out
    assert "32x24" in out

    picture = folder / "sheet.png"
    assert main(["data", "view", str(folder / "shards"), str(picture), "--count", "4", "--tile", "40"]) == 0
    with Image.open(picture) as sheet:
        assert sheet.width > 3 * 4 * 40
        assert sheet.height > 2 * 40
        assert len(sheet.convert("RGB").getcolors(100000) or []) > 10


def test_building_again_writes_only_what_is_new(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(folder) == 0
    (folder / "files" / "zebra.webp").write_bytes(animation(5))
    assert build(folder) == 0
    assert "1 stickers written" in capsys.readouterr().out.replace("\n", " ")
    assert len(StickerShards(folder / "shards")) == 6


def test_an_index_made_again_knows_how_the_shards_were_made(folder: Path) -> None:
    build(folder)
    assert main(["data", "index", str(folder / "shards")]) == 0
    assert build(folder) == 0


def test_a_damaged_file_is_named_and_the_rest_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "files" / "broken.webp").write_bytes(animation(0)[:90])
    assert build(folder) == 0
    out = capsys.readouterr().out
    assert "1 corrupt, skipped" in out
    assert "broken:" in out
    assert len(StickerShards(folder / "shards")) == 5


def test_damaged_metadata_is_named_and_the_rest_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(folder)
    (tar,) = (folder / "shards").glob("*.tar")
    tar.write_bytes(tar.read_bytes().replace(b"wave3.json", b"wove3.json"))
    assert main(["data", "info", str(folder / "shards")]) == 0
    out = capsys.readouterr().out
    assert "1 corrupt, skipped" in out
    assert "wave3: wave3.json is not where its index says" in out


def test_shards_from_elsewhere_need_an_index_and_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(tmp_path / "part.tar", "w") as archive:
        for name, data in (("a.webp", animation(1)), ("a.json", json.dumps({"description": "a wave"}).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    assert main(["data", "info", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"glassine data index {tmp_path}" in line
    assert main(["data", "index", str(tmp_path)]) == 0
    assert main(["data", "info", str(tmp_path)]) == 0
    assert StickerShards(tmp_path).metadata(0).description == "a wave"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "nowhere"], "there is no folder nowhere"),
        (["view", "shards", "sheet.gif"], "the contact sheet must be a .png"),
        (["view", "shards", "sheet.png", "--count", "0"], "count must be at least 1"),
        (["view", "shards", "missing/sheet.png"], "there is no folder missing"),
        (["build", "--from", "nowhere", "--to", "out"], "nowhere is not a folder"),
        (
            ["build", "--from", "files", "--to", "out", "--workers", "0", "--quality", "200"],
            "quality must be in [0, 100], got 200",
        ),
        (["build", "--from", "files", "--to", "out", "--workers", "-1"], "workers must be at least 0"),
        (["build", "--from", "files", "--to", "out", "--fps", "-3"], "fps must be above 0"),
        (["build", "--from", "files", "--to", "out", "--size", "0"], "size must be at least 1"),
        (["build", "--from", "files", "--to", "shards", "--size", "8", "--workers", "0"], "was made with"),
        (["fetch", "fluent", "--packs", "7"], "got [7]"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    assert build(folder) == 0
    capsys.readouterr()
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert not (folder / "sheet.gif").exists()
    assert not (folder / "out").exists()


def test_lengthened_delays_are_counted_and_named_once(tmp_path, capsys):
    frames = np.zeros((3, 16, 16, 4), np.uint8)
    frames[:, 4:12, 4:12] = [[[[200, 0, 0, 255]]], [[[0, 200, 0, 255]]], [[[0, 0, 200, 255]]]]
    (tmp_path / "in").mkdir()
    for name, delay in (("quick", 10), ("slow", 80), ("quicker", 0)):
        pictures = [Image.fromarray(frame).convert("P") for frame in frames[..., :3]]
        pictures[0].save(tmp_path / "in" / f"{name}.gif", save_all=True, append_images=pictures[1:], duration=delay)
    assert main(["data", "build", "--from", str(tmp_path / "in"), "--to", str(tmp_path / "out"), "--workers", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 have adjusted frame times" in said
    assert said.count("frames have a delay of 10 ms or less; as in browsers, they are shown for 100 ms") == 2
    assert "quick: all frames" in said
    assert "slow" not in said
    shards = StickerShards(tmp_path / "out")
    assert {shards.key(row): shards.durations(row)[0] for row in range(3)} == {"quick": 100, "quicker": 100, "slow": 80}
