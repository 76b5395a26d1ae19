import json
import pickle
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.data.shards import (
    FRAME_CODECS,
    ShardFormat,
    ShardWriter,
    StickerShards,
    build_index,
    build_shards,
    decode_frame,
    encode_frame,
    index_path,
)
from glassine.data.sources import SourceItem
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

EXACT = ShardFormat(codec="webp-lossless")


def disc(number: int, frames: int = 5, side: int = 24) -> Sticker:
    """A soft disc that moves, in a color of its own."""
    rows, columns = np.mgrid[:side, :side]
    pixels = np.zeros((frames, side, side, 4), np.uint8)
    for frame, picture in enumerate(pixels):
        distance = np.hypot(rows - side / 2, columns - side / 3 - frame)
        picture[..., 3] = np.clip((side / 4 - distance) * 80 + 128, 0, 255)
        picture[..., :3] = [40 * number % 256, 200, 90]
        picture[picture[..., 3] == 0] = 0
    return Sticker(pixels, tuple(50 + 10 * frame for frame in range(frames)), loop=number)


def write(folder: Path, count: int = 4, how: ShardFormat = EXACT, **settings: int) -> list[Sticker]:
    stickers = [disc(number, frames=number + 2) for number in range(count)]
    with ShardWriter(folder, how, **settings) as writer:
        for number, sticker in enumerate(stickers):
            writer.write(
                f"s{number}", sticker, {"description": f"disc {number}", "group": f"g{number}", "split": "val"}
            )
    return stickers


def gif_shard(folder: Path, damaged: str = "") -> list[list[np.ndarray]]:
    """A shard as TASD and VSD2M have them: one GIF and one JSON a sample."""
    folder.mkdir()
    pictures = []
    with tarfile.open(folder / "part.tar", "w") as archive:
        for number in range(3):
            frames = [Image.fromarray(frame) for frame in disc(number).frames]
            data = BytesIO()
            frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=80, disposal=2)
            with Image.open(data) as image:
                pictures.append([])
                for frame in range(5):
                    image.seek(frame)
                    pictures[-1].append(np.asarray(image.convert("RGBA")))
            content = data.getvalue()[:200] if damaged == f"k{number}" else data.getvalue()
            about = json.dumps(
                {"description": f"a disc {number}", "trigger_words": ["disc"], "domain": "cartoon"}
            ).encode()
            for suffix, member_data in (("gif", content), ("json", about)):
                member = tarfile.TarInfo(f"k{number}.{suffix}")
                member.size = len(member_data)
                archive.addfile(member, BytesIO(member_data))
    return pictures


def test_a_gif_without_its_end_mark_is_read_as_every_viewer_reads_it(tmp_path: Path) -> None:
    data = BytesIO()
    frames = [Image.fromarray(frame) for frame in disc(0).frames]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=80, disposal=2)
    content = data.getvalue().removesuffix(b";")
    with tarfile.open(tmp_path / "part.tar", "w") as archive:
        member = tarfile.TarInfo("k.gif")
        member.size = len(content)
        archive.addfile(member, BytesIO(content))
    build_index(tmp_path / "part.tar").save(index_path(tmp_path / "part.tar"))
    shards = StickerShards(tmp_path)
    assert len(shards) == 1
    assert shards.read(0, [4]).shape == (1, 24, 24, 4)


def visible_equal(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((first[..., 3] == second[..., 3]).all() and (first == second)[first[..., 3] > 0].all())


def test_any_frame_of_any_sticker_comes_back_exactly(tmp_path: Path) -> None:
    stickers = write(tmp_path)
    shards = StickerShards(tmp_path)
    for row, sticker in enumerate(stickers):
        order = [*reversed(range(sticker.num_frames)), 0]
        assert visible_equal(shards.read(row, order), sticker.frames[order])
        info = shards.metadata(row)
        assert (info.key, info.group, info.description, info.split) == (f"s{row}", f"g{row}", f"disc {row}", "val")
        assert (info.durations, info.loop) == (sticker.durations, sticker.loop)
        assert (info.width, info.height) == (24, 24)


@pytest.mark.parametrize("codec", FRAME_CODECS)
def test_every_codec_keeps_alpha_exactly_and_visible_colors_closely(codec: str) -> None:
    frame = disc(3, side=64).frames[2]
    frame[20:30, 20:30, :3] = [255, 0, 0]
    back = decode_frame(list(encode_frame(frame, codec).values()))
    assert (back[..., 3] == frame[..., 3]).all()
    error = np.abs(back.astype(int) - frame)[frame[..., 3] > 0]
    assert error.max() == 0 if FRAME_CODECS[codec].lossless else error.mean() < 6


def test_an_opaque_frame_comes_back_opaque() -> None:
    frame = np.full((16, 16, 4), 255, np.uint8)
    for codec in FRAME_CODECS:
        assert (decode_frame(list(encode_frame(frame, codec).values())) == 255).all()


def test_equal_neighbor_frames_are_neither_merged_nor_lost(tmp_path: Path) -> None:
    still = np.repeat(disc(1).frames[:1], 4, axis=0)
    with ShardWriter(tmp_path) as writer:
        writer.write("still", Sticker(still, (30, 40, 50, 60)), {})
    shards = StickerShards(tmp_path)
    assert shards.durations(0) == (30, 40, 50, 60)
    assert len(shards.read(0, range(4))) == 4


def test_plain_tar_shows_the_frames_and_the_metadata(tmp_path: Path) -> None:
    write(tmp_path / "shards", how=ShardFormat())
    subprocess.run(["tar", "xf", "shards/shard-000000.tar"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "s2.json").read_text())["description"] == "disc 2"
    with Image.open(tmp_path / "s2.003.jpg") as color, Image.open(tmp_path / "s2.003.alpha.png") as alpha:
        assert color.size == alpha.size == (24, 24)
        assert (np.asarray(alpha) == disc(2, frames=4).frames[3, ..., 3]).all()


def test_webdataset_groups_and_decodes_the_samples(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write(tmp_path)
    url = str(tmp_path / "shard-000000.tar")
    samples = list(webdataset.WebDataset(url, shardshuffle=False).decode("pilrgba"))
    assert [sample["__key__"] for sample in samples] == ["s0", "s1", "s2", "s3"]
    assert samples[3]["json"]["group"] == "g3"
    assert visible_equal(disc(3, frames=5).frames[4], np.asarray(samples[3]["004.webp"]))


@pytest.mark.full
def test_ray_data_groups_the_samples_too(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is large and not installed with glassine; `pip install 'ray[data]'`")
    write(tmp_path)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        samples = ray.data.read_webdataset(str(tmp_path / "shard-000000.tar"), decoder=False).take_all()
    finally:
        ray.shutdown()
    assert sorted(sample["__key__"] for sample in samples) == ["s0", "s1", "s2", "s3"]
    assert all({"json", "000.webp"} <= set(sample) for sample in samples)


def test_the_frame_rate_cap_keeps_length_and_shows_what_stood_then(tmp_path: Path) -> None:
    sticker = Sticker(disc(1, frames=24).frames, (42,) * 24)  # about 24 a second
    with ShardWriter(tmp_path, ShardFormat("webp-lossless", fps=8)) as writer:
        writer.write("a", sticker, {})
    shards = StickerShards(tmp_path)
    durations = shards.durations(0)
    assert len(durations) == 8
    assert sum(durations) == sticker.duration_ms
    starts = np.cumsum([0, *durations[:-1]])
    assert visible_equal(shards.read(0, range(8)), sticker.frames[starts // 42])


def test_the_size_cap_shrinks_the_longer_side_and_never_enlarges(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, ShardFormat(size=20)) as writer:
        writer.write("wide", Sticker(np.full((1, 20, 40, 4), 255, np.uint8), (100,)), {})
        writer.write("small", Sticker(np.full((1, 10, 5, 4), 255, np.uint8), (100,)), {})
    shards = StickerShards(tmp_path)
    assert [shards.read(row, [0]).shape[1:3] for row in range(2)] == [(10, 20), (10, 5)]


def test_gif_shards_are_read_as_they_are_once_indexed(tmp_path: Path) -> None:
    pictures = gif_shard(tmp_path / "tasd")
    tar = tmp_path / "tasd" / "part.tar"
    with pytest.raises(UserError, match=r"has no index .* `glassine data index .*tasd`"):
        StickerShards(tmp_path / "tasd")
    build_index(tar).save(index_path(tar))
    shards = StickerShards(tmp_path / "tasd")
    assert len(shards) == 3
    assert shards.durations(1) == (80,) * 5
    assert shards.metadata(1).caption == "Cartoon\ta disc 1"
    assert shards.metadata(1).trigger_words == ("disc",)
    assert visible_equal(shards.read(1, [4, 0, 4]), np.stack([pictures[1][4], pictures[1][0], pictures[1][4]]))


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("key", ["表情1", "a/b" + "c" * 40 + "/" + "d" * 90, "名" * 40, "UPPER"])
def test_keys_from_elsewhere_may_be_long_and_in_any_script(tmp_path: Path, tar_format: int, key: str) -> None:
    gif_shard(tmp_path / "plain")
    tar = tmp_path / "part.tar"
    with tarfile.open(tmp_path / "plain" / "part.tar") as plain:
        members = [(m.name.replace("k0", key), plain.extractfile(m).read()) for m in plain if m.name.startswith("k0")]
    with tarfile.open(tar, "w", format=tar_format) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            try:
                archive.addfile(member, BytesIO(data))
            except ValueError:
                pytest.skip("this format has no room for the name")
    build_index(tar).save(index_path(tar))
    shards = StickerShards(tar)
    assert shards.key(0) == key
    assert shards.metadata(0).description == "a disc 0"
    assert shards.read(0, [1]).shape == (1, 24, 24, 4)


def test_a_damaged_gif_is_left_out_and_named(tmp_path: Path) -> None:
    gif_shard(tmp_path / "tasd", damaged="k1")
    tar = tmp_path / "tasd" / "part.tar"
    build_index(tar).save(index_path(tar))
    with pytest.warns(UserWarning, match=r"1 damaged: .*part\.tar:k1"):
        shards = StickerShards(tmp_path / "tasd")
    assert [shards.key(row) for row in range(len(shards))] == ["k0", "k2"]
    assert list(shards.damaged) == [f"{tar}:k1"]


def test_a_rebuilt_index_equals_the_one_written_along(tmp_path: Path) -> None:
    write(tmp_path, how=ShardFormat())
    tar = tmp_path / "shard-000000.tar"
    written = json.loads(index_path(tar).read_text())
    rebuilt = build_index(tar)
    rebuilt.save(index_path(tar))
    like = {"settings": written["settings"], "crc32": written["crc32"]}
    assert json.loads(index_path(tar).read_text()) | like == written


def test_a_shard_cut_short_loses_only_what_is_gone(tmp_path: Path) -> None:
    stickers = write(tmp_path)
    tar = tmp_path / "shard-000000.tar"
    whole = tar.stat().st_size
    with tar.open("r+b") as file:
        file.truncate(whole // 2)
    with pytest.warns(UserWarning, match=r"its index is for"):
        shards = StickerShards(tmp_path)
    assert 0 < len(shards) < len(stickers)
    for row in range(len(shards)):
        assert visible_equal(shards.read(row, [0]), stickers[row].frames[:1])
    assert [sample.key for sample in build_index(tar).samples] == [shards.key(row) for row in range(len(shards))]
    assert build_index(tar).damaged


def test_an_unreadable_tar_or_index_is_named_and_the_other_shards_are_used(tmp_path: Path) -> None:
    write(tmp_path / "good")
    write(tmp_path / "bad")
    broken = tmp_path / "bad" / "shard-000000.tar"
    index_path(broken).write_text("{")
    with pytest.warns(UserWarning, match=r"1 damaged: .*bad.*its index cannot be read"):
        assert len(StickerShards(tmp_path)) == 4
    broken.write_bytes(b"no tar file at all" * 100)
    index = build_index(broken)
    assert not index.samples
    assert "damaged" in index.damaged["*"]


def test_overwritten_bytes_are_an_error_and_never_wrong_pixels(tmp_path: Path) -> None:
    write(tmp_path)
    other = tmp_path / "other"
    with ShardWriter(other, EXACT) as writer:
        for number in (2, 3, 1, 0):
            writer.write(f"s{number}", disc(number, frames=number + 2), {})
    tar = tmp_path / "shard-000000.tar"
    tar.write_bytes((other / "shard-000000.tar").read_bytes().ljust(tar.stat().st_size, b"\0")[: tar.stat().st_size])
    index_path(other / "shard-000000.tar").unlink()
    (other / "shard-000000.tar").unlink()
    shards = StickerShards(tmp_path)
    with pytest.raises(ValueError, match="index the shard again"):
        shards.metadata(2)
    tar.write_bytes(b"\xff" * tar.stat().st_size)
    with pytest.raises(ValueError, match="not where its index says"):
        shards.read(0, [0])


def test_threads_and_copies_in_other_processes_read_the_same(tmp_path: Path) -> None:
    stickers = write(tmp_path)
    shards = pickle.loads(pickle.dumps(StickerShards(tmp_path)))
    jobs = [(row, frame) for row in range(4) for frame in range(row + 2)] * 10
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(lambda job: shards.read(job[0], [job[1]])[0], jobs))
    assert all(visible_equal(f, stickers[row].frames[number]) for f, (row, number) in zip(frames, jobs, strict=True))


def test_a_stopped_build_leaves_whole_shards_only_and_goes_on_from_them(tmp_path: Path) -> None:
    class Source:
        stop = 7

        def __len__(self) -> int:
            return 10

        def items(self):
            for number in range(10):
                if number == self.stop:
                    raise RuntimeError("killed")
                yield SourceItem(f"s{number}", None, {}, loader=lambda number=number: disc(number))

    source = Source()
    with pytest.raises(RuntimeError):
        build_shards(source, tmp_path, workers=0, max_bytes=8000)
    present = len(StickerShards(tmp_path))
    assert 0 < present < 10
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".tar", ".json")]
    source.stop = -1
    report = build_shards(source, tmp_path, workers=0, max_bytes=8000)
    assert (report.skipped, report.written) == (present, 10 - present)
    shards = StickerShards(tmp_path)
    assert [shards.key(row) for row in range(10)] == [f"s{number}" for number in range(10)]


def test_shards_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    source = tmp_path / "files"
    source.mkdir()
    for number in range(5):
        frames = [Image.fromarray(frame) for frame in disc(number).frames]
        frames[0].save(source / f"d{number}.webp", save_all=True, append_images=frames[1:], duration=70, lossless=True)
    (source / "broken.gif").write_bytes(b"GIF89a nothing follows")
    from glassine.data.sources.folder import FolderStickers

    reports = [build_shards(FolderStickers(source), tmp_path / str(workers), workers=workers) for workers in (0, 2)]
    assert [report.written for report in reports] == [5, 5]
    assert all(list(report.damaged) == ["broken"] for report in reports)
    contents = [(tmp_path / str(workers) / "shard-000000.tar").read_bytes() for workers in (0, 2)]
    assert contents[0] == contents[1]


def test_only_damaged_files_is_an_error_that_names_one(tmp_path: Path) -> None:
    class Source:
        def __len__(self) -> int:
            return 1

        def items(self):
            yield SourceItem("gone", tmp_path / "gone.gif", {})

    with pytest.raises(UserError, match=r"not one of 1 stickers could be read; the first, gone"):
        build_shards(Source(), tmp_path / "out", workers=0)


def test_other_settings_or_a_second_sticker_of_the_same_key_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match="was made with"):
        ShardWriter(tmp_path, ShardFormat())
    with ShardWriter(tmp_path, EXACT) as writer, pytest.raises(UserError, match="keys must differ"):
        writer.write("s1", disc(1), {})
    with ShardWriter(tmp_path / "new") as writer, pytest.raises(UserError, match=r"key must be .*, got 'a\.b'"):
        writer.write("a.b", disc(1), {})


def test_large_sets_are_cut_into_several_shards_that_read_as_one(tmp_path: Path) -> None:
    write(tmp_path, count=6, max_bytes=4000)
    assert len(list(tmp_path.glob("*.tar"))) > 2
    shards = StickerShards([tmp_path])
    assert [shards.key(row) for row in range(6)] == [f"s{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "there is no folder"),
        (lambda folder: folder.mkdir(), r"has no \.tar file"),
    ],
)
def test_a_folder_without_shards_is_one_clear_line(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "none")
    with pytest.raises(UserError, match=message):
        StickerShards(tmp_path / "none")


def test_selection_by_split_and_by_animation(tmp_path: Path) -> None:
    with ShardWriter(tmp_path) as writer:
        for number, split in enumerate(["train", "test", "train"]):
            writer.write(f"s{number}", disc(number, frames=1 + number), {"split": split})
    shards = StickerShards(tmp_path)
    assert shards.select("train").tolist() == [0, 2]
    assert shards.select("train", stills=False).tolist() == [2]
    assert shards.select("train", stills="only").tolist() == [0]
    assert shards.select().tolist() == [0, 1, 2]
    with pytest.raises(IndexError, match="must be below 2"):
        shards.read(1, [2])
