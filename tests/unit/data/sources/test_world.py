"""The sources of the world: what each yields, and what happens when one cannot be reached or breaks off."""

import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.drawings import as_json, lottie, svg

from glassine.data.shards import StickerInfo
from glassine.data.sources import fluent, noto
from glassine.data.sources.emoji_art import fetch_names
from glassine.data.sources.fluent import FLUENT_3D, FLUENT_FLAT, FluentStills
from glassine.data.sources.noto import NotoAnimated, NotoStickers
from glassine.data.sources.world import SOURCES, Fetching
from glassine.utils.errors import UserError

NAMES = [
    {"hexcode": "1F600", "label": "grinning face", "tags": ["grin"]},
    {"hexcode": "2764-FE0F", "label": "red heart", "tags": ["love"]},
]
NAMES_ZH = [{"hexcode": "1F600", "label": "嘿嘿"}, {"hexcode": "2764", "label": "红心"}]
CIRCLE = '<circle cx="16" cy="16" r="8" fill="red"/>'


def tarball(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def webp() -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (8, 8), (60, 0, 0, 255)).save(out, "WEBP", lossless=True)
    return out.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder with the tarballs that `npm pack` would have written."""
    names = {"en/data.json": json.dumps(NAMES).encode(), "zh/data.json": json.dumps(NAMES_ZH).encode()}
    tarball(tmp_path / "emojibase-data-17.0.0.tgz", names)
    files = {f"assets/{stem}.webp": webp() for stem in ("1f600", "2764-fe0f")}
    tarball(tmp_path / "lobehub-fluent-emoji-3d-1.1.0.tgz", files)
    flat = {"assets/1f600.svg": svg(), "assets/2764-fe0f.svg": svg(), "assets/1f600svg": b"an older drawing"}
    tarball(tmp_path / "lobehub-fluent-emoji-modern-1.0.0.tgz", flat)
    icons = {
        "width": 32,
        "height": 32,
        "icons": {"grinning-face": {"body": CIRCLE}, "heart": {"body": CIRCLE}, "new-thing": {"body": CIRCLE}},
        "aliases": {"red-heart": {"parent": "heart"}},
    }
    chars = {"1f600": "grinning-face", "2764": "red-heart", "1fa8b": "new-thing", "1ffff": "gone"}
    files = {"icons.json": json.dumps(icons).encode(), "chars.json": json.dumps(chars).encode()}
    tarball(tmp_path / "iconify-json-noto-1.2.9.tgz", files)
    return tmp_path


def test_3d_stills(cache: Path) -> None:
    fluent.fetch_stills(FLUENT_3D, cache)
    items = list(FluentStills(FLUENT_3D, cache).items())
    assert [item.key for item in items] == ["fluent-3d-1f600", "fluent-3d-2764-fe0f"]
    assert items[0].load().frames.shape == (1, 8, 8, 4)
    info = items[1].info
    assert (info["description"], info["description_zh"], info["style"]) == ("red heart", "红心", "3D")
    assert (info["source"], info["license"]) == ("fluent-3d", "MIT")


def test_flat_drawings_at_the_size_asked_for(cache: Path) -> None:
    pytest.importorskip("resvg_py")
    fluent.fetch_stills(FLUENT_FLAT, cache)
    items = list(FluentStills(FLUENT_FLAT, cache, size=48).items())
    assert [item.key for item in items] == ["fluent-flat-1f600", "fluent-flat-2764-fe0f"]
    assert items[0].load().frames.shape == (1, 48, 48, 4)


def test_noto_drawings_and_a_name_that_emojibase_lacks(cache: Path) -> None:
    pytest.importorskip("resvg_py")
    noto.fetch(cache)
    source = NotoStickers(cache, size=64)
    items = {item.key: item for item in source.items()}
    assert sorted(items) == ["noto-1f600", "noto-1fa8b", "noto-2764"]
    assert len(source) == 3
    assert items["noto-1fa8b"].info["description"] == "new thing"
    frame = items["noto-2764"].load().frames[0]
    assert frame.shape == (64, 64, 4)
    assert frame[32, 32].tolist() == [255, 0, 0, 255]


def test_one_emoji_is_one_group_and_split_in_every_source(cache: Path) -> None:
    for fetch in (lambda: fluent.fetch_stills(FLUENT_3D, cache), lambda: fluent.fetch_stills(FLUENT_FLAT, cache)):
        fetch()
    noto.fetch(cache)
    sources = FluentStills(FLUENT_3D, cache), FluentStills(FLUENT_FLAT, cache), NotoStickers(cache)
    hearts = [item.info for source in sources for item in source.items() if item.info["description"] == "red heart"]
    assert len(hearts) == 3
    assert len({(info["group"], info["split"]) for info in hearts}) == 1
    captions = {StickerInfo.from_json("a", info, (1,), 1, 1).caption for info in hearts}
    assert captions == {"Cartoon\tred heart, 3D", "Cartoon\tred heart, flat", "Cartoon\tred heart, Noto"}
    chinese = {StickerInfo.from_json("a", info, (1,), 1, 1).caption_zh for info in hearts}
    assert chinese == {"Cartoon\t红心，3D", "Cartoon\t红心，扁平", "Cartoon\t红心，Noto"}


@pytest.mark.parametrize("name", ["fluent-3d", "fluent-flat", "noto"])
def test_what_is_not_fetched_is_told_with_the_command(cache: Path, name: str) -> None:
    fetch_names(cache, None, lambda line: None)
    opened = {
        "fluent-3d": lambda: FluentStills(FLUENT_3D, cache),
        "fluent-flat": lambda: FluentStills(FLUENT_FLAT, cache),
    }
    with pytest.raises(UserError, match=f"glassine data fetch {name}"):
        opened.get(name, lambda: NotoStickers(cache))()


def test_a_package_of_something_else_is_refused(cache: Path) -> None:
    tarball(cache / "iconify-json-noto-1.2.9.tgz", {"icons.json": b"[]", "chars.json": b"{}"})
    noto.fetch(cache)
    with pytest.raises(UserError, match="delete it and fetch again"):
        NotoStickers(cache)


class Server(http.server.ThreadingHTTPServer):
    """Serves animations by code; `answers` may hold statuses or broken bodies to give before the right ones."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = Counter[str]()
        self.answers: dict[str, list[int | bytes]] = {}
        self.at_once, self.most_at_once, self.lock = 0, 0, threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{{}}/lottie.json"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        code = self.path.split("/")[1]
        with self.server.lock:
            self.server.asked[code] += 1
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            queue = self.server.answers.get(code, [])
            answer = queue.pop(0) if queue else as_json(lottie(frames=2))
        self.send_response(answer if isinstance(answer, int) else 200)
        body = b"" if isinstance(answer, int) else answer
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with self.server.lock:
            self.server.at_once -= 1

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(noto, "codes", lambda: [f"1f60{n}" for n in range(8)])
    with Server() as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


def fetch_animated(cache: Path, server: Server, lines: list[str] | None = None) -> Path:
    say = lines.append if lines is not None else lambda line: None
    return noto.fetch_animated(cache, say=say, address=server.address, wait=0.001)


def test_animations_are_fetched_a_few_at_once_and_only_once(cache: Path, server: Server) -> None:
    folder = fetch_animated(cache, server)
    assert len(list(folder.glob("*.json"))) == 8
    assert server.most_at_once <= noto.THREADS
    fetch_animated(cache, server)
    assert set(server.asked.values()) == {1}


def test_a_busy_server_and_a_cut_answer_are_tried_again(cache: Path, server: Server) -> None:
    server.answers = {"1f600": [503, 429], "1f601": [as_json(lottie())[:50]]}
    folder = fetch_animated(cache, server)
    assert len(list(folder.glob("*.json"))) == 8
    assert server.asked["1f600"] == 3
    assert server.asked["1f601"] == 2
    json.loads((folder / "1f601.json").read_text())


def test_what_the_server_lost_is_said_and_not_an_error(cache: Path, server: Server) -> None:
    server.answers = {"1f603": [404]}
    lines = list[str]()
    fetch_animated(cache, server, lines)
    assert any("1f603" in line and "no longer on the server" in line for line in lines)
    assert server.asked["1f603"] == 1


def test_a_stopped_download_goes_on_where_it_was(cache: Path, server: Server) -> None:
    server.answers = {"1f605": [500] * 4}
    with pytest.raises(UserError, match=r"1 of 8 files could not be fetched \(1f605: HTTP 500\).*run it again"):
        fetch_animated(cache, server)
    folder = fetch_animated(cache, server)
    assert len(list(folder.glob("*.json"))) == 8
    assert server.asked["1f605"] == 5
    assert server.asked["1f604"] == 1


def test_an_unreachable_server_is_given_up_soon(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Counter[str]()

    def refuse(request: object, timeout: float) -> None:
        asked["all"] += 1
        raise noto.urllib.error.URLError("no route to host")

    monkeypatch.setattr(noto.urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match=r"449 of 449 .*no route to host.*--from"):
        noto.fetch_animated(cache)
    assert asked["all"] < 20


def archive_of(kind: str, path: Path) -> Path:
    content = {"x/1f600/lottie.json": as_json(lottie()), "x/2764_fe0f.json": as_json(lottie()), "x/readme.json": b"{}"}
    if kind == "folder":
        for name, data in content.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path
    if kind == "zip":
        with zipfile.ZipFile(path / "a.zip", "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path / "a.zip"
    with tarfile.open(path / "a.tar.xz", "w:xz") as tar:
        for name, data in {**content, "../../1f601/lottie.json": as_json(lottie())}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path / "a.tar.xz"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_animations_from_a_file_or_folder(cache: Path, tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    pytest.importorskip("rlottie_python")
    given = archive_of(kind, tmp_path_factory.mktemp("given"))
    fetch_names(cache, None, lambda line: None)
    folder = noto.fetch_animated(cache, given)
    assert {path.name for path in folder.iterdir()} >= {"1f600.json", "2764_fe0f.json"}
    assert not list(folder.glob("readme*"))
    items = {item.key: item for item in NotoAnimated(cache, size=32, fps=25).items()}
    heart = items["noto-animated-2764-fe0f"]
    assert heart.info["description"] == "red heart"
    assert heart.info["license"] == "CC BY 4.0"
    assert "Google" in heart.info["attribution"]
    sticker = heart.load()
    assert sticker.frames.shape == (5, 32, 32, 4)
    assert sum(sticker.durations) == 200


def test_bad_files_given_are_named(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("given")
    with pytest.raises(UserError, match="no file or folder"):
        noto.fetch_animated(cache, place / "missing.tar")
    with pytest.raises(UserError, match="has no animations"):
        noto.fetch_animated(cache, place)
    whole = archive_of("tar", place)
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(UserError, match="damaged"):
        noto.fetch_animated(cache, whole)
    with pytest.raises(UserError, match="noto-animated"):
        NotoAnimated(_named(tmp_path_factory.mktemp("empty"), cache))


def _named(folder: Path, cache: Path) -> Path:
    (folder / "emojibase-data-17.0.0.tgz").write_bytes((cache / "emojibase-data-17.0.0.tgz").read_bytes())
    fetch_names(folder, None, lambda line: None)
    return folder


def test_partial_animations_are_used_where_the_world_is_fetched(cache: Path, server: Server, monkeypatch) -> None:
    server.answers = {"1f605": [500] * 8}
    fetch_names(cache, None, lambda line: None)
    monkeypatch.setattr(noto.fetch_animated, "__defaults__", (None, lambda line: None, server.address, 0.001))
    lines = list[str]()
    source = SOURCES["noto-animated"].open(Fetching(cache, lines.append, partial=True), 32, 10.0)
    assert len(source) == 7
    assert any("1f605" in line for line in lines)
    with pytest.raises(UserError, match="1f605"):
        SOURCES["noto-animated"].open(Fetching(cache, lines.append), 32, 10.0)


def test_the_list_of_animations_is_whole() -> None:
    codes = noto.codes()
    assert len(codes) == len(set(codes)) == 449
    assert all(noto._STEM.fullmatch(code) for code in codes)
    assert np.isin(["1f600", "2764_fe0f"], codes).all()
