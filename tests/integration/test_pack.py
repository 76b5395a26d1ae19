"""`glassine pack` as a person types it."""

import errno
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.drawings import as_tgs, lottie

from glassine.__main__ import main
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker


def disc(number: int, frames: int = 6, ms: int = 100) -> Sticker:
    """A soft disc that goes round."""
    rows, columns = np.mgrid[:40, :36]
    result = np.zeros((frames, 40, 36, 4), np.uint8)
    for step, frame in enumerate(result):
        turn = 2 * np.pi * step / frames + number
        frame[..., :3] = (60 + 20 * number, 90, 200)
        frame[..., 3] = np.clip(9 - np.hypot(rows - 20 - 6 * np.sin(turn), columns - 18 - 6 * np.cos(turn)), 0, 1) * 255
    return Sticker(result, (ms,) * frames, 0)


@pytest.fixture
def stickers(tmp_path: Path) -> Path:
    folder = tmp_path / "stickers"
    folder.mkdir()
    for number in range(3):
        write_sticker(disc(number), folder / f"disc {number}.webp")
    return folder


def pack(*arguments: object) -> int:
    return main(["pack", "--quiet", *map(str, arguments)])


def test_packs_for_several_platforms_are_written_whole_and_checked(stickers, tmp_path, capsys):
    table = tmp_path / "map.csv"
    table.write_text("disc 0,😀\ndisc 1,🎉\ndisc 2.webp,👍,thumbs up\n", encoding="utf-8")
    to = tmp_path / "packs"
    code = pack(stickers, "--for", "telegram-emoji", "slack", "mastodon", "discord", "--to", to, "--name", "Discs",
                "--emoji", table, "--outline", "8", "--shadow", "0.4")  # fmt: skip
    assert (code, capsys.readouterr().err) == (0, "")
    assert sorted(path.name for path in (to / "telegram-emoji").iterdir()) == [
        "01.webm", "02.webm", "03.webm", "sticker_set.json"]  # fmt: skip
    assert sorted(path.name for path in (to / "slack").iterdir()) == ["disc_0.gif", "disc_1.gif", "disc_2.gif"]
    assert json.loads((to / "discord" / "stickers.json").read_text(encoding="utf-8"))[2]["tags"] == "👍"
    with Image.open(to / "contact-sheets" / "slack.png") as sheet:
        assert sheet.size[0] > 300
    report = json.loads((to / "report.json").read_text(encoding="utf-8"))
    row = report["platforms"]["mastodon"]["files"][0]
    assert row["bytes"] == (to / "mastodon" / "disc_0.png").stat().st_size <= row["most_bytes"]
    assert row["psnr"] is None
    assert row["ms"] == 600
    assert "| disc_0.png |" in (to / "report.md").read_text(encoding="utf-8")
    assert main(["pack", "--check", str(to)]) == 0
    assert capsys.readouterr().out.count("within all limits") == 4
    written = read_sticker(to / "mastodon" / "disc_1.png")
    assert (written.width, written.num_frames, written.duration_ms, written.loop) == (128, 6, 600, 0)
    (to / "mastodon" / "disc_1.png").write_bytes(b"no picture")
    assert main(["pack", "--check", str(to)]) == 2
    assert "disc_1.png: it is none of WebM" in capsys.readouterr().err


def test_a_still_pack_for_whatsapp_with_its_manifest_and_tray(stickers, tmp_path, capsys):
    for number in range(3):
        Image.fromarray(disc(number).frames[0], "RGBA").save(stickers / f"disc {number}.png")
        (stickers / f"disc {number}.webp").unlink()
    to = tmp_path / "packs"
    assert pack(stickers, "--for", "whatsapp", "viber", "--to", to, "--zip", "--cover", "disc 2") == 0
    with zipfile.ZipFile(to / "whatsapp.zip") as archive:
        assert sorted(archive.namelist()) == ["01.webp", "02.webp", "03.webp", "contents.json", "tray.png"]
        data = json.loads(archive.read("contents.json"))["sticker_packs"][0]
    assert data["animated_sticker_pack"] is False
    assert data["stickers"][0]["emojis"] == ["🙂"]
    assert not (to / "whatsapp").exists()
    assert pack("--check", to) == 0


def test_a_mixed_pack_is_refused_or_made_still(stickers, tmp_path, capsys):
    Image.fromarray(disc(9).frames[0], "RGBA").save(stickers / "still.png")
    assert pack(stickers, "--for", "whatsapp", "--to", tmp_path / "packs") == 2
    assert "all animated or all static, got 3 animated and 1 static" in capsys.readouterr().err
    assert not (tmp_path / "packs").exists()
    assert pack(stickers, "--for", "whatsapp", "--to", tmp_path / "packs", "--mixed", "still") == 0
    with Image.open(tmp_path / "packs" / "whatsapp" / "01.webp") as image:
        assert getattr(image, "n_frames", 1) == 1


def test_a_tgs_is_drawn(tmp_path):
    pytest.importorskip("rlottie_python")
    path = tmp_path / "a.tgs"
    path.write_bytes(as_tgs(lottie()))
    assert pack(path, "--for", "discord-emoji", "--to", tmp_path / "packs") == 0
    (file,) = (tmp_path / "packs" / "discord-emoji").iterdir()
    assert read_sticker(file).width == 128


def test_every_problem_is_named_before_anything_is_written(stickers, tmp_path, capsys):
    write_sticker(disc(5, ms=900), stickers / "long.webp")
    code = pack(stickers, "--for", "line", "telegram", "viber", "--to", tmp_path / "packs", "--name", "n" * 65)
    said = capsys.readouterr().err
    assert code == 2
    expected = (
        "line: a pack must have 8, 16 or 24 stickers, got 4",
        "telegram: name of the pack must have 1 to 64 characters, got 65",
        "telegram: long.webp must last at most 3 s, got 5.4 s",
        "viber: stickers must be static",
    )
    for text in expected:
        assert text in said
    assert "nothing was written" in said
    assert not (tmp_path / "packs").exists()


def test_a_long_one_is_trimmed_or_sped_up_only_when_asked(tmp_path):
    write_sticker(disc(1, frames=8, ms=500), tmp_path / "long.webp")
    for how, frames in (("trim", 6), ("speed-up", 8)):
        to = tmp_path / how
        assert pack(tmp_path / "long.webp", "--for", "telegram-emoji", "--to", to, "--too-long", how) == 0
        row = json.loads((to / "report.json").read_text(encoding="utf-8"))["platforms"]["telegram-emoji"]["files"][0]
        assert (row["ms"], row["frames"]) == (3000, frames)
        assert any("as requested" in told for told in row["done"])


def test_a_platform_that_cannot_be_met_is_left_out_and_the_others_are_written(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (12, 128, 128, 4), np.uint8)
    frames[..., 3] = 255
    write_sticker(Sticker(frames, (50,) * 12, 0), tmp_path / "noise.webp")
    to = tmp_path / "packs"
    code = pack(tmp_path / "noise.webp", "--for", "slack", "7tv", "--to", to, "--order", "")
    said = capsys.readouterr().err
    assert code == 2
    assert "slack: noise.webp (noise.gif): file must have at most 128,000 bytes" in said
    assert "slack failed" in said
    assert not (to / "slack").exists()
    assert (to / "7tv" / "noise.webp").is_file()
    assert "left out" in (to / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--for", "icq", "--to", "packs"), "platform must be one of"),
        (("--for", "slack"), "must all be given"),
        (("--for", "slack", "--to", "packs", "--order", "speed"), "order must name"),
        (("--for", "slack", "--to", "packs", "--matte", "nocolor"), "matte must be a CSS color"),
        (("--for", "slack", "--to", "packs", "--cover", "nobody"), "cover must be one of the stickers"),
        (("--for", "slack", "--to", "packs", "--outline", "-1"), "outline must be"),
        (("--for", "slack", "--to", "missing/packs"), "there is no folder missing"),
        (("--check", "packs", "--to", "packs"), "--check cannot be combined with"),
    ],
)
def test_arguments_that_do_not_go_together(stickers, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert pack(stickers, *arguments) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "packs").exists()


def test_what_is_no_picture_or_shows_nothing_is_named(stickers, tmp_path, capsys):
    (stickers / "bad.webp").write_bytes(b"not a picture")
    assert pack(stickers, "--for", "slack", "--to", tmp_path / "packs") == 2
    assert "bad.webp" in capsys.readouterr().err
    (stickers / "bad.webp").unlink()
    write_sticker(Sticker(np.zeros((1, 8, 8, 4), np.uint8), (100,), 0), stickers / "empty.webp")
    assert pack(stickers, "--for", "slack", "--to", tmp_path / "packs") == 2
    assert "empty.webp: a sticker must show something" in capsys.readouterr().err
    assert not (tmp_path / "packs").exists()


def test_a_folder_with_content_is_not_written_over(stickers, tmp_path, capsys):
    to = tmp_path / "packs"
    to.mkdir()
    (to / "mine.txt").write_text("mine")
    assert pack(stickers, "--for", "mastodon", "--to", to) == 2
    assert "non-empty folder" in capsys.readouterr().err
    assert [path.name for path in to.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing_behind(stickers, tmp_path, monkeypatch, capsys):
    usual = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "disc_1.png":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return usual(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert pack(stickers, "--for", "mastodon", "--to", tmp_path / "packs") == 2
    assert "the disk is full" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["stickers"]
