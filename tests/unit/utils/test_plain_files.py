"""A pipe or a device where a file is meant is an error at once: it would be waited for, or read, for ever."""

import json
import os
from pathlib import Path

import pytest
from tests.helpers.small_shards import small_shards
from tests.helpers.tiny_study import tiny_study, write_methods

from glassine.__main__ import main
from glassine.bench.records import read_records
from glassine.data.cache_files import CacheFiles
from glassine.data.frame_cache import FRAMES
from glassine.data.shards import StickerShards
from glassine.data.shards.index import index_path
from glassine.data.sources.emoji_art import EmojiCatalog
from glassine.data.sources.folder import FolderStickers
from glassine.data.sources.noto import _take
from glassine.data.text_pairs import EMOJIBASE, read_emoji
from glassine.data.thumbnails import INDEX, found_identity, read_thumbnails
from glassine.study.answers import read_answers
from glassine.study.plan import load_key, load_questions, read_prompts
from glassine.study.site import match_items
from glassine.utils.errors import UserError
from glassine.utils.files import open_plain, read_plain, read_plain_text

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names"),
    pytest.mark.timeout(30),  # a reader that waits is a failure
]


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def test_a_file_is_read_as_it_is(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffone\r\ntwo ü\r".encode())
    assert read_plain(file) == file.read_bytes()
    assert read_plain_text(file, "utf-8-sig") == "one\ntwo ü\n"
    (tmp_path / "link").symlink_to(file)
    assert read_plain(tmp_path / "link") == file.read_bytes()


def test_what_is_no_file_is_not_waited_for(tmp_path):
    (tmp_path / "link").symlink_to(pipe(tmp_path / "pipe"))
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero"), Path("/dev/tty0"), tmp_path):
        with pytest.raises(OSError, match=r"a pipe or a device|[Ii]s a directory|Permission|No such"):
            open_plain(path)


def test_study_files_given_as_pipes(tmp_path, capsys):
    key = tiny_study(tmp_path)
    fifo = pipe(tmp_path / "anna.jsonl")
    with pytest.raises(UserError, match=r"anna\.jsonl cannot be read \(it must be a regular file, got a pipe"):
        read_answers(fifo, key)
    for path in (fifo, Path("/dev/zero")):
        assert main(["study", "report", str(tmp_path / "study"), "--answers", str(path)]) == 2
        assert "got a pipe or a device" in capsys.readouterr().err
    pipe(tmp_path / "study" / "answers" / "ben.jsonl")
    assert main(["study", "report", str(tmp_path / "study")]) == 2
    with pytest.raises(UserError, match="got a pipe or a device"):
        read_prompts(fifo, ["item0"])
    with pytest.raises(UserError, match="questions must be layer-animate"):
        load_questions([str(fifo)])
    pipe(tmp_path / "study" / "key.json")
    with pytest.raises(UserError, match="contains no study"):
        load_key(tmp_path / "study")


def test_a_pipe_among_the_stickers_of_a_study_is_no_sticker(tmp_path):
    methods = write_methods(tmp_path / "in")
    pipe(methods["ours"] / "item9.webp")
    assert [item.name for item in match_items(methods)] == [f"item{n}" for n in range(4)]
    pipe(methods["ours"] / "item0.webp")
    with pytest.raises(UserError, match="ours lacks item0"):
        match_items(methods)


def test_a_folder_of_media_with_pipes_in_it(tmp_path):
    write_methods(tmp_path, ("media",))
    for name in ("item0.webp", "looks.json", "animation.json", "moving.gif"):
        pipe(tmp_path / "media" / name)
    assert len(FolderStickers(tmp_path / "media")) == 3
    with pytest.raises(UserError, match="got a pipe or a device"):
        FolderStickers(tmp_path / "media", pipe(tmp_path / "table.jsonl"))
    with pytest.raises(UserError, match="got a pipe or a device"):
        FolderStickers(tmp_path / "media", pipe(tmp_path / "table.csv"))


def test_shards_and_caches_with_pipes_for_files(tmp_path):
    small_shards(tmp_path / "shards", {"aa": "one", "ab": "two"})
    tar = next((tmp_path / "shards").glob("*.tar"))
    pipe(index_path(tar))
    with pytest.raises(UserError, match=r"index cannot be read \(it must be a regular file.*run `glassine data index"):
        StickerShards(tmp_path / "shards")
    assert main(["data", "index", str(tmp_path / "shards")]) == 0
    assert len(StickerShards(tmp_path / "shards")) == 2
    pipe(tmp_path / "cache" / "frames-000000.safetensors")
    with pytest.raises(UserError, match="got a pipe or a device"):
        CacheFiles(FRAMES, tmp_path / "cache")
    pipe(tmp_path / "thumbnails" / INDEX)
    assert found_identity(tmp_path / "thumbnails") == ""
    with pytest.raises(UserError, match="got a pipe or a device"):
        read_thumbnails(tmp_path / "thumbnails")
    pipe(tmp_path / "records" / "one.json")
    with pytest.raises(UserError, match="got a pipe or a device"):
        read_records(tmp_path / "records")


def test_downloads_and_what_stands_for_them_given_as_pipes(tmp_path):
    for language in ("en", "zh"):
        pipe(tmp_path / EMOJIBASE / f"{language}-data.json")
    for read in (read_emoji, EmojiCatalog):
        with pytest.raises(UserError, match="got a pipe or a device"):
            read(tmp_path)
    pipe(tmp_path / "given" / "1f355.json")
    for given in (pipe(tmp_path / "given.tar"), tmp_path / "given"):
        with pytest.raises(UserError, match="got a pipe or a device"):
            _take(given, tmp_path)


def test_a_weights_folder_with_pipes(tmp_path, capsys):
    for name in ("config.yaml", "model.safetensors"):
        pipe(tmp_path / "weights" / name)
    (tmp_path / "methods.json").write_text(json.dumps({}))
    arguments = ["cutout", str(tmp_path / "methods.json"), str(tmp_path / "out.webp")]
    assert main([*arguments, "--weights", str(tmp_path / "weights")]) == 2
    assert main(["fit", "-c", str(tmp_path / "weights" / "config.yaml")]) == 2
    assert main(["export", "weights", str(tmp_path / "weights" / "model.safetensors"), "--part", "x", "--to", "y"]) == 2
    assert capsys.readouterr().err.count("no file at") == 2
