"""Every format that is written, read by programs that share no decoder with us: FFmpeg, and Chromium where it is."""

import base64
import http.server
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
DURATIONS = (40, 70, 120, 700, 90)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EXACT = (".webp", ".png", ".apng")


def frames(count: int = 5, height: int = 36, width: int = 50, hard: bool = False) -> np.ndarray:
    """A soft disc that moves, stands still for a frame, and vanishes for the last."""
    rows, columns = np.mgrid[:height, :width]
    made = np.zeros((count, height, width, 4), np.uint8)
    for number, center in enumerate((15, 20, 20, 30, -99)[:count]):
        alpha = np.clip(255 * (12 - np.hypot(rows - 18, columns - center)) / (0.01 if hard else 4), 0, 255)
        made[number] = np.stack([rows * 0 + 220, columns // 8 * 32, rows // 8 * 48, alpha], axis=-1)  # few colors
    made[made[..., 3] == 0] = 0
    return made


def composites(pictures: np.ndarray) -> np.ndarray:
    """On black and on white, so that colors of invisible pixels do not count."""
    alpha = pictures[..., 3:] / 255
    return np.stack([pictures[..., :3] * alpha, pictures[..., :3] * alpha + 255 * (1 - alpha)])


def written(tmp_path: Path, suffix: str, whole: bool = False, quality: int | None = None) -> Path:
    path = tmp_path / f"a{suffix}"
    write_sticker(Sticker(frames(hard=suffix == ".gif"), DURATIONS, 3), path, whole_canvas=whole, quality=quality)
    return path


def by_ffmpeg(path: Path, decoder: str | None = None) -> tuple[np.ndarray, list[int]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if decoder:
            context = av.CodecContext.create(decoder, "r")
            context.extradata = stream.codec_context.extradata
        got = [f for packet in container.demux(stream) for f in context.decode(packet)]
        times = [round(float(f.pts * stream.time_base) * 1000) for f in got]
        return np.stack([f.to_ndarray(format="gbrap", threads=1) for f in got]), times


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("suffix", "decoder", "most"),
    [(".png", None, 0), (".apng", None, 0), (".gif", None, 0), (".webm", "libvpx-vp9", 12), (".mov", None, 4)],
)
def test_ffmpeg_shows_the_same_frames_at_the_same_times(tmp_path, suffix, decoder, most, whole):
    got, times = by_ffmpeg(written(tmp_path, suffix, whole), decoder)
    expected = frames(hard=suffix == ".gif")
    assert got.shape == expected.shape
    assert np.abs(composites(got) - composites(expected)).mean() <= most / 4
    if most == 0:
        np.testing.assert_array_equal(composites(got), composites(expected))
    assert np.diff(times).tolist() == list(DURATIONS[:-1])


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif", ".avif"])
def test_ffmpeg_takes_one_frame_for_a_plain_picture(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_sticker(Sticker(frames(1, hard=suffix == ".gif"), (500,)), path)
    got, _ = by_ffmpeg(path)
    assert len(got) == 1
    if suffix != ".avif":  # its alpha is a track of its own, which FFmpeg does not join
        np.testing.assert_array_equal(composites(got), composites(frames(1, hard=suffix == ".gif")))


@pytest.mark.parametrize("suffix", [".zip", ""])
def test_ffmpeg_reads_the_pngs_of_a_sequence(tmp_path, suffix):
    path = written(tmp_path, suffix)
    if suffix:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "unpacked")
        path = tmp_path / "unpacked"
    got = np.concatenate([by_ffmpeg(png)[0] for png in sorted(path.glob("*.png"))])
    np.testing.assert_array_equal(got, frames())
    assert json.loads((path / "animation.json").read_text())["durations"] == list(DURATIONS)


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_ffmpeg_gives_the_last_frame_of_a_video_its_time(tmp_path, suffix):
    with av.open(str(written(tmp_path, suffix))) as container:
        assert abs(container.duration / 1000 - sum(DURATIONS)) <= 1  # from microseconds


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".webm"])
def test_ffmpeg_reads_what_is_written_lossy(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_sticker(Sticker(frames(1), (500,)), path, quality=60)
    got = by_ffmpeg(path, "libvpx-vp9" if suffix == ".webm" else None)[0]
    assert got.shape == (1, *frames().shape[1:])
    shown = composites(got)[0] if suffix != ".avif" else got[..., :3]  # whose alpha is a track of its own
    seen = frames(1)[..., 3] == 255
    assert np.abs(shown[seen] - frames(1)[..., :3][seen].astype(int)).mean() < 16


VIDEO = """<script>
(async () => {
  try {
    const video = document.createElement('video'), frames = [];
    const heard = name => new Promise((done, failed) => { video['on' + name] = done; video.onerror = failed; });
    const loaded = heard('loadeddata');
    video.muted = true;
    video.src = 'data:video/webm;base64,DATA';
    await loaded;
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const paper = canvas.getContext('2d', {willReadFrequently: true});
    for (const time of TIMES) {
      const there = heard('seeked');
      video.currentTime = time;
      await there;
      paper.clearRect(0, 0, canvas.width, canvas.height);
      paper.drawImage(video, 0, 0);
      frames.push(Array.from(paper.getImageData(0, 0, canvas.width, canvas.height).data));
    }
    await fetch('/', {method: 'POST', body: JSON.stringify([video.duration, canvas.width, canvas.height, frames])});
  } catch (error) { await fetch('/', {method: 'POST', body: JSON.stringify({error: String(error)})}); }
})();
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_chromium_plays_the_transparent_video(tmp_path):
    path = written(tmp_path, ".webm")
    ends = np.cumsum(DURATIONS) / 1000
    middles = (ends - np.array(DURATIONS) / 2000).round(4).tolist()
    page = VIDEO.replace("DATA", base64.b64encode(path.read_bytes()).decode()).replace("TIMES", json.dumps(middles))
    duration, width, height, pictures = in_chromium(page)
    assert abs(duration - ends[-1]) < 0.002
    got = np.array(pictures, np.uint8).reshape(-1, height, width, 4)
    assert got.shape == frames().shape
    assert np.abs(composites(got) - composites(frames())).mean() < 3
    assert np.abs(got[..., 3].astype(int) - frames()[..., 3]).mean() < 2


PAGE = """<script>
(async () => {
  const result = [];
  try {
    for (const [type, text] of FILES) {
      const data = Uint8Array.from(atob(text), c => c.charCodeAt(0));
      const decoder = new ImageDecoder({data, type, premultiplyAlpha: 'none'});
      await decoder.tracks.ready;
      await decoder.completed;
      const track = decoder.tracks.selectedTrack, frames = [];
      for (let i = 0; i < track.frameCount; i++) {
        const {image} = await decoder.decode({frameIndex: i});
        const pixels = new Uint8Array(image.allocationSize({format: 'RGBA'}));
        await image.copyTo(pixels, {format: 'RGBA'});
        let binary = '';
        for (const value of pixels) binary += String.fromCharCode(value);
        frames.push([image.codedWidth, image.codedHeight, image.duration, btoa(binary)]);
        image.close();
      }
      result.push([String(track.repetitionCount), frames]);
    }
    await fetch('/', {method: 'POST', body: JSON.stringify(result)});
  } catch (error) { await fetch('/', {method: 'POST', body: JSON.stringify({error: String(error)})}); }
})();
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("whole", [False, True])
def test_chromium_shows_the_same_frames_times_and_loops(tmp_path, whole):
    kinds = {".webp": "image/webp", ".png": "image/png", ".gif": "image/gif", ".avif": "image/avif"}
    data = [(kind, written(tmp_path, suffix, whole).read_bytes()) for suffix, kind in kinds.items()]
    files = json.dumps([[kind, base64.b64encode(content).decode()] for kind, content in data])
    shown = in_chromium(PAGE.replace("FILES", files))
    for suffix, (repeats, pictures) in zip(kinds, shown, strict=True):
        got = np.stack([np.frombuffer(base64.b64decode(text), np.uint8).reshape(h, w, 4) for w, h, _, text in pictures])
        assert [duration for *_, duration, _ in pictures] == [1000 * ms for ms in DURATIONS], suffix
        assert repeats == "2", suffix  # of three plays
        error = np.abs(composites(got) - composites(frames(hard=suffix == ".gif")))
        # a browser hands out soft pixels that were premultiplied on the way, which costs a level or two
        assert error.max() <= (0 if suffix == ".gif" else 3) if suffix != ".avif" else error.mean() < 2, suffix


def in_chromium(page: str) -> list:
    """What a page sends back; it is served by this machine, since ImageDecoder asks for that."""
    answers: queue.Queue[bytes] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(page.encode() if self.path == "/" else b"")

        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(b"")

        def answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [str(CHROMIUM), "--headless", "--disable-gpu", *quiet.split(), f"--user-data-dir={profile}"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        command.append(f"http://127.0.0.1:{server.server_port}/")
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            result = json.loads(answers.get(timeout=300))
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    assert isinstance(result, list), result
    return result
