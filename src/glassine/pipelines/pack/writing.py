"""Full packs: plan, fit, write, report."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from glassine import __version__
from glassine.data.codecs import open_sticker, read_sticker
from glassine.pipelines.pack.fitting import FitSettings, Fitted, Fitter
from glassine.pipelines.pack.limits import Kind, Limits, Platform, platform, sources
from glassine.pipelines.pack.manifests import NO_LABELS, STAND_IN, Labels, PackName, file_stems, manifest
from glassine.pipelines.pack.report import as_markdown
from glassine.utils.errors import UserError, printable
from glassine.utils.files import atomic_path

Mixed = Literal["refuse", "still"]
DRAWN_SIZE, DRAWN_FPS = 512, 30.0  # for rendering Lottie and SVG, which are vector formats
Progress = Callable[[int, int, str], object]


class PackError(UserError):
    """Raised with all problems, one line each in `problems`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Item:
    """One sticker of a pack: its file and labels."""

    path: Path
    labels: Labels = NO_LABELS


@dataclass(frozen=True)
class Seen:
    """Properties of a file, determined before anything is written."""

    animated: bool
    duration_ms: int
    opaque: bool


@dataclass(frozen=True)
class PackSettings:
    """Settings for packs.

    Args:
        fit: settings for fitting stickers.
        name: name and author of the pack.
        mixed: for platforms without animated stickers, or that do not mix them with stills: "refuse", or
            "still" for one frame of each sticker.
        cover: index of the cover sticker.
        zipped: write a zip per platform instead of a folder. LINE, whose upload page needs a zip, gets both.
    """

    fit: FitSettings = field(default_factory=FitSettings)
    name: PackName = field(default_factory=PackName)
    mixed: Mixed = "refuse"
    cover: int = 0
    zipped: bool = False


@dataclass
class _Target:
    """One platform's pack during writing."""

    platform: Platform
    kinds: list[Kind]
    stems: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    stickers: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        return "animated" if "animated" in self.kinds else "static"


def make_packs(
    items: Sequence[Item],
    keys: Sequence[str],
    folder: Path,
    settings: PackSettings,
    progress: Progress = lambda done, of, what: None,
) -> dict[str, Any]:
    """Write packs for several platforms to a new folder.

    Args:
        items: the stickers, in order.
        keys: names of platforms.
        folder: must not exist, or be empty. Platforms to which a sticker cannot be fitted are skipped and reported.
        settings: settings of the packs.
        progress: called with the number of fitted files, the total, and the current file.

    Returns:
        The report, as in `report.json`; `failed` names the skipped platforms.

    Raises:
        PackError: rules that no reduction can meet (nothing is written), or no platform could be met.
        UserError: a file that cannot be read, or a folder that cannot be written to.
    """
    chosen = [platform(key) for key in dict.fromkeys(keys)]
    seen = [inspect(item.path) for item in items]
    targets = [_target(one, items, seen, settings) for one in chosen]
    problems = [f"{target.platform.key}: {wrong}" for target in targets for wrong in target.problems]
    if problems:
        raise PackError(problems)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        total, done = len(items) * len(targets), 0
        for number, item in enumerate(items):
            fitter = Fitter(_read(item.path), settings.fit)
            for target in targets:
                progress(done, total, f"{target.platform.key}: {item.path.name}")
                _fit_one(target, number, item, fitter, settings)
                done += 1
        progress(total, total, "writing")
        whole = [target for target in targets if not target.problems]
        if not whole:
            raise PackError([f"{target.platform.key}: {wrong}" for target in targets for wrong in target.problems])
        for target in whole:
            _finish(target, items, temporary, settings)
        report = _report(targets, settings)
        (temporary / "report.json").write_text(
            json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        (temporary / "report.md").write_text(as_markdown(report), encoding="utf-8")
    return report


def inspect(path: Path) -> Seen:
    """Read a file to its end without storing the frames.

    Raises:
        UserError: as for `open_sticker`; or it shows nothing.
    """
    with open_sticker(path, size=DRAWN_SIZE, fps=DRAWN_FPS) as reader:
        first, duration, moves, opaque, visible = None, 0, False, True, False
        for frame, milliseconds in reader:
            frame[frame[..., 3] == 0] = 0
            first = frame if first is None else first
            moves = moves or not np.array_equal(first, frame)
            opaque = opaque and bool((frame[..., 3] == 255).all())
            visible = visible or bool(frame[..., 3].any())
            duration += milliseconds
    if not visible:
        raise UserError(
            f"{printable(str(path))}: a sticker must show something, got one that is transparent in all frames"
        )
    return Seen(moves, duration, opaque)


def _read(path: Path) -> Any:
    return read_sticker(path, size=DRAWN_SIZE, fps=DRAWN_FPS)


def _target(target: Platform, items: Sequence[Item], seen: Sequence[Seen], settings: PackSettings) -> _Target:
    """The plan for one platform, with all rules that are already violated."""
    kinds: list[Kind] = ["animated" if one.animated else "static" for one in seen]
    problems = []
    if settings.mixed == "still" and ("animated" not in target.kinds or (not target.mixed and len(set(kinds)) > 1)):
        kinds = ["static"] * len(kinds)
    if not target.mixed and len(set(kinds)) > 1:
        count = kinds.count("animated")
        problems.append(
            f"a pack must be all animated or all static, got {count} animated and {len(kinds) - count} static: make "
            "two packs, or use --mixed still"
        )
    problems += [
        f"stickers must be {' or '.join(target.kinds)}, got {kind} ones: use --mixed still, or leave {target.key} out"
        for kind in dict.fromkeys(kinds)
        if kind not in target.kinds
    ]
    pack_kind: Kind = "animated" if "animated" in kinds else "static"
    if wrong := target.count_problem(len(items), pack_kind):
        problems.append(wrong)
    for rule, text, what in (
        (target.name, settings.name.name, "name"),
        (target.author, settings.name.author, "author"),
    ):
        if rule is not None and (wrong := rule.problem(text)):
            problems.append(f"{what} of the pack {wrong}")
    most_emoji = target.emoji[1]
    for item, one, kind in zip(items, seen, kinds, strict=True):
        name = printable(item.path.name)
        given = len(item.labels.emoji)
        if given > most_emoji > 1:  # if only one is allowed, the first is used
            problems.append(f"{name} must have at most {most_emoji} emoji, got {given}")
        most_text = target.text.get(kind)
        if most_text is not None and len(item.labels.text) > most_text:
            problems.append(f"text of {name} must have at most {most_text} characters, got {len(item.labels.text)}")
        limits = target.kinds.get(kind)
        if limits is None:
            continue
        refused = kind == "animated" and settings.fit.too_long == "refuse"
        if refused and limits.max_ms is not None and one.duration_ms > limits.max_ms:
            problems.append(
                f"{name} must last at most {limits.max_ms / 1000:g} s, got {one.duration_ms / 1000:g} s: "
                "use --too-long trim (keeps the start) or speed-up"
            )
        if limits.transparent and one.opaque:
            problems.append(
                f"{name} must have a transparent background, got an opaque sticker: cut it out (glassine cutout)"
            )
    stems = file_stems([item.path.stem for item in items], target)
    return _Target(target, kinds, stems, problems=problems)


def _fit_one(target: _Target, number: int, item: Item, fitter: Fitter, settings: PackSettings) -> None:
    """Fit one sticker for one platform, including its extra files."""
    kind = target.kinds[number]
    limits = target.platform.limits(kind)
    wanted = [(f"{target.stems[number]}{limits.suffix}", limits)]
    wanted += [(f"{part.file}/{target.stems[number]}{part.suffix}", part) for part in limits.each]
    if number == settings.cover:
        wanted += [(cover.file, cover) for cover in target.platform.limits(target.kind).covers]
    for name, rules in wanted:
        try:
            fitted = fitter.fit(rules, still=kind == "static")
        except UserError as error:
            target.problems.append(f"{printable(item.path.name)} ({name}): {error}")
            continue
        target.files[name] = fitted.data
        if rules is limits:
            target.stickers.append(name)
        target.rows.append(_row(name, item, rules, fitted))


def _row(name: str, item: Item, limits: Limits, fitted: Fitted) -> dict[str, Any]:
    return {
        "file": name,
        "from": item.path.name,
        "bytes": len(fitted.data),
        "most_bytes": limits.bytes,
        "width": fitted.width,
        "height": fitted.height,
        "frames": fitted.num_frames,
        "ms": fitted.duration_ms,
        "plays": fitted.loop,
        "tries": fitted.tries,
        **asdict(fitted.fidelity),
        "done": list(fitted.done),
    }


def _finish(target: _Target, items: Sequence[Item], folder: Path, settings: PackSettings) -> None:
    """Write one platform's files, its manifest, zip and contact sheet."""
    from glassine.pipelines.pack.report import contact_sheet  # imported late: it loads torch

    key = target.platform.key
    labels = []
    for item in items:
        emoji = item.labels.emoji[: target.platform.emoji[1]]
        if target.platform.emoji[0] and not emoji:
            emoji = (STAND_IN,)
        labels.append(Labels(emoji, item.labels.text))
    cover = target.stickers[settings.cover]
    written = manifest(target.platform, target.kind, settings.name, target.stickers, labels, cover)
    if written is not None:
        target.files[written[0]] = written[1].encode()
    if settings.zipped or target.platform.zip_bytes is not None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name, data in target.files.items():
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        (folder / f"{key}.zip").write_bytes(packed.getvalue())
    if not settings.zipped:
        for name, data in target.files.items():
            path = folder / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (folder / "contact-sheets").mkdir(exist_ok=True)
    sheet = contact_sheet([(name, target.files[name]) for name in target.stickers])
    sheet.save(folder / "contact-sheets" / f"{key}.png", "PNG")


def _report(targets: Sequence[_Target], settings: PackSettings) -> dict[str, Any]:
    known = sources()
    found: dict[str, Any] = {
        "glassine": __version__,
        "name": settings.name.name,
        "author": settings.name.author,
        "order": list(settings.fit.order),
        "too_long": settings.fit.too_long,
        "platforms": {},
        "failed": {target.platform.key: target.problems for target in targets if target.problems},
    }
    for target in targets:
        if target.problems:
            continue
        limits = target.platform.limits(target.kind)
        found["platforms"][target.platform.key] = {
            "title": target.platform.title,
            "kind": target.kind,
            "stickers": len(target.stickers),
            "limits_from": {name: known[name] for name in sorted(set(limits.sources.values()))},
            "files": target.rows,
        }
    return found
