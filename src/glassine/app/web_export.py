"""A static page that cuts stickers out in the visitor's browser: `glassine export web`.

Files of this package, the network as ONNX, and ONNX Runtime Web out of its npm package. Any static host serves it; it
asks for nothing from elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from glassine import __version__
from glassine.app.example import draw_example
from glassine.utils.errors import UserError
from glassine.utils.files import temporary_path

if TYPE_CHECKING:
    from glassine.models.ildiff import ILDiff

RUNTIME, RUNTIME_VERSION = "onnxruntime-web", "1.30.0"
# for processors; for graphics cards. A visitor's browser loads one of them
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
OWN = Path(__file__).parent / "web"
SHARED = Path(__file__).parent / "static"  # the app's page has these, too
SHARED_FILES = ("app.css", "dom.js", "stage.js", "icon.svg")
SIDE, CHUNK = 256, 16  # pixels that the network sees; frames whose latents are made at once
# hosts that read this file (Netlify, Cloudflare Pages) then let the page use several threads
HEADERS = "/*\n  Cross-Origin-Opener-Policy: same-origin\n  Cross-Origin-Embedder-Policy: require-corp\n"
NOTICE = f"""glassine {__version__}: Apache-2.0.
runtime/: ONNX Runtime Web {RUNTIME_VERSION}, (c) Microsoft Corporation, MIT License
(https://github.com/microsoft/onnxruntime/blob/main/LICENSE).
"""


def export_web(ildiff: ILDiff, target: Path, runtime: Path, say: Callable[[str], None] = lambda text: None) -> float:
    """Write the page and all it needs into a new folder, which appears once it is complete.

    Args:
        ildiff: the network; it is moved to the CPU.
        target: a folder that does not exist or is empty.
        runtime: folder with `RUNTIME_FILES`, such as `dist` of the npm package.
        say: called with one line before each step.

    Returns:
        The largest difference in alpha between the exported network and torch, for a sample sticker.

    Raises:
        UserError: the folder is not empty or cannot be written, the runtime is not complete, or the network cannot be
            exported.
    """
    from glassine.pipelines.onnx_export.stages import ALPHA, LATENTS, export_stages

    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target} must be a new or empty folder, got one with files: choose another one")
    if missing := [name for name in RUNTIME_FILES if not (runtime / name).is_file()]:
        raise UserError(
            f"{runtime} must hold ONNX Runtime Web's files, got none named {missing[0]}: give the folder dist of the "
            f"npm package {RUNTIME} {RUNTIME_VERSION}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = temporary_path(target.parent, target.name, ".web")
        folder.mkdir()
    except OSError as error:
        raise UserError(f"folder {target} cannot be made ({(error.strerror or 'error').lower()})") from error
    try:
        for part in ("network", "runtime"):
            (folder / part).mkdir()
        say("writing the network as ONNX; this takes about a minute")
        difference = export_stages(ildiff, folder / "network", (SIDE, SIDE))
        say("copying the page and the runtime")
        for source in [*OWN.iterdir(), *(SHARED / name for name in SHARED_FILES)]:
            shutil.copyfile(source, folder / source.name)
        for name in RUNTIME_FILES:
            shutil.copyfile(runtime / name, folder / "runtime" / name)
        loaded = [folder / "network" / LATENTS, folder / "network" / ALPHA]
        loaded += [folder / "runtime" / name for name in RUNTIME_FILES[:3]]
        about = {
            "side": SIDE,
            "chunk": CHUNK,
            "radius": ildiff.temporal_radius,
            "version": __version__,
            "megabytes": round(sum(file.stat().st_size for file in loaded) / 1e6),
        }
        (folder / "network" / "about.json").write_text(json.dumps(about))
        (folder / "example.gif").write_bytes(draw_example())
        (folder / "_headers").write_text(HEADERS)
        (folder / "NOTICE.txt").write_text(NOTICE)
        if target.is_dir():
            target.rmdir()
        folder.rename(target)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({(error.strerror or 'error').lower()})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return difference


def fetch_runtime(cache: Path) -> Path:
    """The runtime's files out of its npm package, kept in `cache`; a tarball of `npm pack` there is used offline.

    Raises:
        UserError: no npm client, or it cannot fetch the package.
    """
    from glassine.data.sources.npm import fetch_package

    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the cache folder {cache} cannot be made ({(error.strerror or 'error').lower()})") from error
    wanted = {f"dist/{name}" for name in RUNTIME_FILES}
    folder = fetch_package(RUNTIME, RUNTIME_VERSION, cache, wanted.__contains__)
    for name in RUNTIME_FILES:  # they import each other by these names
        flat = folder / f"dist-{name}"
        if flat.is_file():
            flat.rename(folder / name)
    return folder
