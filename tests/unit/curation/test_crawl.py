import bz2
import io
import json
import os
import tarfile
import zipfile

import pytest

from glassine.curation.crawl import Listing, Opened, list_crawl
from glassine.curation.manifest import Manifest, split_words
from glassine.utils.errors import UserError

GIF = b"GIF89a" + bytes(20)


def tar_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def listed(tmp_path, tables=(), **how):
    listing = Listing()
    manifest = Manifest(tmp_path / "manifest.sqlite", list(tables))
    rows = list(list_crawl(tmp_path / "crawl", manifest, listing, tmp_path / "unpacked", **how))
    return rows, listing, manifest


@pytest.fixture
def crawl(tmp_path):
    folder = tmp_path / "crawl"
    folder.mkdir()
    return folder


def test_members_of_archives_are_read_where_they_lie(tmp_path, crawl):
    (crawl / "a.gif").write_bytes(GIF + b"a")
    with zipfile.ZipFile(crawl / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/one.gif", GIF + b"b1")
        archive.writestr("x/one.gif", GIF + b"b2")  # two members of one name
    (crawl / "c.tar").write_bytes(tar_of({"k.gif": GIF + b"c", "k.txt": b"a cat"}))
    (crawl / "d.tar.bz2").write_bytes(bz2.compress(tar_of({"../../up.gif": GIF + b"d"})))
    rows, listing, _ = listed(tmp_path)
    opened = Opened(crawl, tmp_path / "unpacked")
    contents = {opened.read(row)[len(GIF) :] for row in rows}
    assert contents == {b"a", b"b1", b"b2", b"c", b"d"}
    assert not listing.damaged
    assert next(row for row in rows if row["at"] == "c.tar/k.gif")["description"] == "a cat"
    assert {path.name for path in tmp_path.iterdir()} == {"crawl", "manifest.sqlite", "unpacked"}


def test_links_out_of_the_crawl_are_not_followed(tmp_path, crawl):
    (tmp_path / "secret.gif").write_bytes(GIF)
    (crawl / "inside.gif").write_bytes(GIF)
    (crawl / "link.gif").symlink_to(tmp_path / "secret.gif")
    os.mkfifo(crawl / "pipe.gif")
    rows, listing, _ = listed(tmp_path)
    assert [row["at"] for row in rows] == ["inside.gif"]
    assert listing.passed == {"a link out of the crawl": 1, "no regular file": 1}
    with pytest.raises(UserError, match="leads out of the crawl"):
        Opened(crawl, tmp_path / "unpacked").read({"at": "x", "file": "../secret.gif", "bytes": len(GIF)})


def test_a_zip_that_lies_about_its_size_is_cut_off(tmp_path, crawl, monkeypatch):
    monkeypatch.setattr("glassine.curation.crawl.MAX_FILE_BYTES", 1000)
    with zipfile.ZipFile(crawl / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.gif", GIF + bytes(5000))
    rows, _, _ = listed(tmp_path)
    with pytest.raises(UserError, match="at most 1,000 bytes"):
        Opened(crawl, tmp_path / "unpacked").read({**rows[0], "bytes": 10})


def test_a_packed_tar_that_unpacks_to_far_too_much_is_named(tmp_path, crawl, monkeypatch):
    monkeypatch.setattr("glassine.curation.crawl.MAX_UNPACKED_BYTES", 1 << 16)
    (crawl / "bomb.tar.bz2").write_bytes(bz2.compress(tar_of({"x.gif": bytes(1 << 20)})))
    (crawl / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08\x00")
    rows, listing, _ = listed(tmp_path)
    assert not rows
    assert "unpacks to more" in listing.damaged["bomb.tar.bz2"]
    assert "cut.tar.gz" in listing.damaged


def test_img2dataset_folders_and_shards_bring_caption_and_address(tmp_path, crawl):
    note = json.dumps({"caption": "hello", "url": "http://a/b.gif", "key": "000", "status": "success"}).encode()
    (crawl / "00000").mkdir()
    (crawl / "00000" / "000.jpg").write_bytes(b"\xff\xd8\xff")
    (crawl / "00000" / "000.json").write_bytes(note)
    (crawl / "00000" / "000.txt").write_bytes(b"hello")
    (crawl / "00001.tar").write_bytes(tar_of({"001.jpg": b"\xff\xd8\xff", "001.json": note, "001.txt": b"hello"}))
    rows, _, _ = listed(tmp_path)
    assert [row["at"] for row in rows] == ["00001.tar/001.jpg", "00000/000.jpg"]
    assert all((row["description"], row["url"]) == ("hello", "http://a/b.gif") for row in rows)


def test_a_lottie_beside_nothing_is_a_sticker_and_not_a_note(tmp_path, crawl):
    (crawl / "a.json").write_text('{"v": "5", "fr": 30, "ip": 0, "op": 60, "layers": []}')
    (crawl / "b.json").write_text('{"caption": "lost"}')
    rows, _, _ = listed(tmp_path)
    assert [row["at"] for row in rows] == ["a.json"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_manifest_gives_words_by_path_name_or_key(tmp_path, crawl, suffix):
    (crawl / "sub").mkdir()
    for name in ("sub/a.gif", "b.gif", "c.gif"):
        (crawl / name).write_bytes(GIF)
    content = [
        {"file": "sub/a.gif", "word": "cat", "license": "CC0"},
        {"file": "sub/a.gif", "word": "kitten;cat", "license": ""},
        {"file": "b.gif", "word": '["one", "two"]', "license": "MIT"},
        {"file": "c", "word": "third", "license": ""},
        {"file": "gone.gif", "word": "x", "license": ""},
    ]
    table = tmp_path / f"m{suffix}"
    if suffix == ".csv":
        import csv

        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(content[0]))
            writer.writeheader()
            writer.writerows(content)
    elif suffix == ".jsonl":
        table.write_text("\n".join(json.dumps(row) for row in content))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(content), table)
    rows, _, manifest = listed(tmp_path, [table])
    words = {row["at"]: row.get("words") for row in rows}
    assert words == {"b.gif": ["one", "two"], "c.gif": ["third"], "sub/a.gif": ["cat", "kitten", "cat"]}
    assert rows[2]["license"] == "CC0"
    assert manifest.unused() == (1, ["gone.gif"])


def test_folders_are_words_where_asked_for(tmp_path, crawl):
    (crawl / "happy_birthday").mkdir()
    (crawl / "happy_birthday" / "a.gif").write_bytes(GIF)
    assert "words" not in listed(tmp_path)[0][0]
    assert listed(tmp_path, folder_words=True)[0][0]["words"] == ["happy birthday"]


@pytest.mark.parametrize(
    ("text", "says"),
    [("word\ncat\n", "must have a column `file`"), ("", "must have a column"), ("{", "cannot be read")],
)
def test_a_manifest_that_is_none_is_said(tmp_path, text, says):
    table = tmp_path / ("m.jsonl" if text == "{" else "m.csv")
    table.write_text(text)
    with pytest.raises(UserError, match=says):
        Manifest(tmp_path / "m.sqlite", [table])


def test_words_are_text_of_bounded_length():
    assert split_words(" a ;;b\nc; ") == ["a", "b c"]
    assert split_words([None, "x" * 500])[0] == "x" * 200
    assert split_words(3) == ["3"]
