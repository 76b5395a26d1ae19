import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from einops import rearrange, repeat
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.__main__ import main
from glassine.data.alpha import composite_frames
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.classic import ColorProjection, Threshold
from glassine.models.ildiff import ILDiff, LayoutHint
from glassine.models.vae import SmallVAE
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.pipelines.backgrounds import find_background
from glassine.pipelines.onnx_export import export, export_onnx
from glassine.pipelines.onnx_export.export import CutoutGraph
from glassine.pipelines.onnx_export.layout_hint import (
    ExportableHint,
    background_of,
    connected_planes,
    write_connected_planes,
)
from glassine.pipelines.onnx_export.nodes import (
    Nodes,
    median_filter,
    nearest_pixel,
    write_median_filter,
    write_nearest_pixel,
)
from glassine.pretrained.weights import load_bundle
from glassine.utils.errors import UserError

SIZES = [(16, 33), (48, 40)]


def clip_of(frames: int, height: int, width: int, background=(250, 240, 90), noise: int = 0, seed: int = 0) -> Tensor:
    """A moving drawing, `1 f 3 h w` in [0, 1], as 8-bit files have it."""
    rgba = ProceduralStickers(seed=seed, size=max(height, width), length=1).render(0, range(frames))
    pixels = composite_frames(rgba[:, :height, :width], background).astype(int)
    pixels = np.clip(pixels + np.random.default_rng(seed).integers(-noise, noise + 1, pixels.shape), 0, 255)
    return rearrange(torch.from_numpy(pixels).float() / 255, "f h w c -> 1 f c h w")


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def in_onnx_runtime(write, x: Tensor, *arguments: int) -> np.ndarray:
    """What the nodes that `write` writes make of `x`."""
    nodes = Nodes("part")
    result = write(nodes, "x", *x.shape[-2:], *arguments)
    kind, shape = helper.np_dtype_to_tensor_dtype(x.numpy().dtype), ["n", *x.shape[1:]]
    made = TensorProto.INT64 if kind == TensorProto.BOOL else kind
    values = [[helper.make_tensor_value_info(*value, shape)] for value in (("x", kind), ("result", made))]
    graph = helper.make_graph(nodes.ending_in(result, "result"), "graph", *values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return session_of(model).run(None, {"x": x.numpy()})[0]


def spiral(height: int, width: int) -> np.ndarray:
    """A corridor that turns inwards again and again: the longest way to fill."""
    plane = np.zeros((height, width), bool)
    top, left, bottom, right = 0, 0, height - 1, width - 1
    while top < bottom and left < right:
        plane[top, max(left - 2, 0) : right + 1] = plane[top : bottom + 1, right] = True
        plane[bottom, left : right + 1] = plane[top + 2 : bottom + 1, left] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    return plane


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_fill_in_onnx_reaches_what_opencvs_does(height, width):
    noise = np.random.default_rng(0).random((3, height, width))
    planes = [noise < share for share in (0.3, 0.55, 0.62, 0.9)] + [np.stack([spiral(height, width)] * 3)]
    bits = torch.from_numpy(sum(plane.astype(np.int32) << k for k, plane in enumerate(planes, 26 - len(planes))))
    filled = connected_planes(bits)
    assert 0 < (filled != bits).float().mean() < 1
    np.testing.assert_array_equal(in_onnx_runtime(write_connected_planes, bits), filled.numpy())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_nearest_pixel_in_onnx_is_opencvs_also_among_equals(height, width):
    noise = np.random.default_rng(0).random((5, height, width))
    wanted = torch.from_numpy(noise < np.array([0.0, 0.003, 0.02, 0.1, 0.5])[:, None, None])
    found = in_onnx_runtime(write_nearest_pixel, wanted)
    np.testing.assert_array_equal(found[1:], nearest_pixel(wanted)[1:].numpy())  # the first has none at all
    assert 0 <= found.min() <= found.max() < height * width


@pytest.mark.parametrize("width", [3, 5])
def test_the_median_in_onnx_is_opencvs(width):
    pictures = torch.rand(2, 3, 16, 21, generator=torch.Generator().manual_seed(0))
    pictures[1] = (pictures[1] * 4).round() / 4
    expected = median_filter(pictures, width)
    np.testing.assert_array_equal(in_onnx_runtime(write_median_filter, pictures, width), expected.numpy())


@pytest.mark.parametrize("noise", [0, 4])
def test_the_hint_is_the_networks_bit_for_bit(noise):
    hint = LayoutHint()
    nn.init.normal_(hint.trust[-1].weight, generator=torch.Generator().manual_seed(0))
    clip, background = clip_of(2, 48, 64, noise=noise), torch.tensor([[250.0, 240.0, 90.0]]) / 255
    with torch.inference_mode():
        for ours, theirs in zip(ExportableHint(hint)(clip, background), hint(clip, background), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
            assert theirs.std() > 0.01


@pytest.mark.parametrize(("noise", "background"), [(0, (255, 255, 255)), (3, (12, 130, 77)), (20, (128, 128, 128))])
def test_the_background_is_the_pipelines(noise, background):
    clip = clip_of(3, 40, 56, background, noise)
    opaque = np.insert((rearrange(clip[0], "f c h w -> f h w c") * 255).round().byte().numpy(), 3, 255, axis=-1)
    assert (background_of(clip) * 255).round().int().tolist() == [list(find_background(list(opaque)))]


class Encoder(nn.Module):
    """An image encoder of one layer, since tracing a whole one takes seconds."""

    out_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, stride=8)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.conv(pictures)


class Decoder(nn.Module):
    """The same in the place of the transparency decoder, for a hint with two candidates."""

    size_multiple = 16

    def __init__(self, hint_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3 + 4 + hint_channels, 4 + 3, 3, padding=1)

    def forward(self, pixel: Tensor, latents: Tensor, hint: Tensor) -> Tensor:
        return self.conv(torch.cat([pixel, F.interpolate(latents, scale_factor=8), hint], dim=1))


def small_ildiff() -> ILDiff:
    torch.manual_seed(0)
    hint = LayoutHint([ColorProjection(tolerance=0.012, band=1), ColorProjection(band=2, median=3, gap=1)])
    nn.init.normal_(hint.trust[-1].weight)
    adapter = LayoutAdapter(Encoder(), depth=1, width=8, zero_init=False)
    vae = SmallVAE(width=8, decoder_width=8, blocks=1)
    return ILDiff(vae, Decoder(hint.channels), adapter, "input", hint).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network and the file that was made of it, for clips of 32 x 48."""
    network, file = small_ildiff(), tmp_path_factory.mktemp("onnx") / "cutout.onnx"
    assert export_onnx(network, file, (32, 48), "small") < 1e-3
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    return network, onnx.load(file)


@pytest.mark.parametrize(("frames", "noise"), [(1, 0), (2, 3), (7, 0)])
@pytest.mark.parametrize("given", [False, True])
def test_the_file_does_what_the_network_does_for_any_number_of_frames(exported, frames, noise, given):
    network, model = exported
    clip, color = clip_of(frames, 32, 48, noise=noise, seed=frames), torch.tensor([[250.0, 240.0, 90.0]]) / 255
    feed = {"clip": clip.numpy(), "background": color.numpy() if given else np.full((1, 3), -1, np.float32)}
    alpha, straight, used = (torch.from_numpy(x) for x in session_of(model).run(None, feed))
    torch.testing.assert_close(used, color, rtol=0, atol=1e-3)
    with torch.inference_mode():
        expected, _ = network.decode(clip, color)
    assert expected.std() > 0.05
    torch.testing.assert_close(alpha, expected, rtol=0, atol=1e-3)
    behind = repeat(color, "1 c -> 1 1 c 1 1")
    again = alpha * straight + (1 - alpha) * behind  # the clip, where its colors can be reached with that alpha
    reached = (straight > 0) & (straight < 1) & (alpha > 0.02)
    assert reached.float().mean() > 0.05
    torch.testing.assert_close(again[reached], clip[reached], rtol=0, atol=1e-3)


def test_the_file_says_what_it_is_and_needs_nothing_but_onnx(exported):
    _, model = exported
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["glassine.source"] == "small"
    assert about["glassine.size"] == "32 48"
    assert {f"glassine.{name}" for name in ("version", "clip", "alpha", "color", "finish")} <= about.keys()
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert not model.functions


def test_a_file_that_differs_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.ModelProto())
    for difference in (0.5, float("nan")):
        monkeypatch.setattr(export, "compare", lambda *_, result=difference: result)
        with pytest.raises(UserError, match="differ by"):
            export_onnx(small_ildiff(), tmp_path / "cutout.onnx", (32, 48))
    assert not list(tmp_path.iterdir())


def test_a_hint_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"ColorProjections for ONNX, got 1 \(Threshold\)"):
        ExportableHint(LayoutHint([Threshold()]))
    network = small_ildiff()
    network.hint = nn.Identity()
    with pytest.raises(UserError, match="hint must be a LayoutHint or None for ONNX, got a Identity"):
        CutoutGraph(network)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "cutout.pt"], ".onnx"),
        (["--to", "missing/cutout.onnx"], "no folder missing"),
        (["--to", "cutout.onnx", "--size", "250"], "multiples of 64"),
        (["--to", "cutout.onnx", "--size", "4096"], "up to 1024"),
        (["--to", "cutout.onnx", "--size", "0"], "multiples of 64"),
        (["--to", "cutout.onnx", "--size", "64", "64", "64"], "height and width"),
        (["nowhere", "--to", "cutout.onnx"], "no weights at nowhere"),
        (["glassine:tiny-vae", "--to", "cutout.onnx"], "ILDiff"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, says, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "onnx", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert error.count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named_with_what_brings_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["export", "onnx", "--to", str(tmp_path / "cutout.onnx")]) == 2
    assert "onnxscript not found" in (error := capsys.readouterr().err)
    assert "glassine[onnx]" in error


@pytest.mark.full
def test_the_shipped_network_as_a_file_does_what_it_does_in_torch(tmp_path, capsys):
    target = tmp_path / "cutout.onnx"
    assert main(["export", "onnx", "--to", str(target), "--size", "128", "192"]) == 0
    assert "wrote" in capsys.readouterr().out
    session, network = onnxruntime.InferenceSession(target), load_bundle("glassine:tiny-ildiff")
    for frames, noise, color in ((8, 0, (255, 255, 255)), (3, 4, (90, 200, 120))):
        clip, behind = clip_of(frames, 128, 192, color, noise, seed=frames), torch.tensor([color]) / 255
        with torch.inference_mode():
            expected, _ = network.decode(clip, behind)  # type: ignore[operator]
        alpha = session.run(["alpha"], {"clip": clip.numpy(), "background": behind.numpy()})[0]
        assert np.abs(alpha - expected.numpy()).max() < 1e-3
