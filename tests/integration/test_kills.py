"""Whenever a verb is killed, what it has written is whole, and the next run finishes and tidies up."""

import io
import json
import os
import random
import shutil
import signal
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.drawings import as_json, layer, lottie, square
from tests.helpers.killing import check_whole, files_of, fork
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_image_to_video import save_tiny_image_to_video
from tests.helpers.tiny_review import answers_of as shares_of
from tests.helpers.tiny_review import tiny_review
from tests.helpers.tiny_review import write_answers as write_shares
from tests.helpers.tiny_study import answers_of, tiny_study, write_answers
from tests.helpers.tiny_transparent import MOTION, plain, save_tiny_transparent, tiny_motion_unet, tiny_transparent
from torch import nn

from glassine.bench.text_tokenizer import make_tokenizer
from glassine.data.codecs import write_sticker
from glassine.data.shards import ShardWriter
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.pretrained.text_encoder import small_bert
from glassine.pretrained.weights import save_bundle
from glassine.utils.files import LOCK_NAME

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
YAML = str(Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml")
KILLS = int(os.environ.get("KILLS", "8"))
VAE = {"width": 8, "decoder_width": 8, "blocks": 1}
SMALL = {"block_out_channels": [8, 8, 8], "attention_scales": 0, "layers_per_block": 1, "patch_size": 2}
CUTS_OUT = {
    "class_path": "glassine.models.ildiff.ILDiff",
    "init_args": {
        "vae": {"class_path": "glassine.models.vae.SmallVAE", "init_args": VAE},
        "decoder": {"class_path": "glassine.models.transparency.TransparencyDecoder", "init_args": SMALL},
        "adapter": None,
        "pixel_source": "input",
    },
}
STEMS = ("1f355", "1f680")  # pizza, rocket
MAKES = ["--size", "32", "--frames", "2", "--steps", "2", "--device", "cpu", "--n", "2", "--sheet", "sheet.png"]


def media(folder: Path) -> None:
    """Stickers of chance, and one still."""
    chance = np.random.default_rng(0)
    (folder / "media").mkdir()
    for number in range(6):
        frames = chance.integers(0, 255, (6, 96, 96, 4), dtype=np.uint8)
        write_sticker(Sticker(frames, (80,) * 6), folder / "media" / f"s{number}.webp")
    still = np.zeros((1, 48, 48, 4), np.uint8)
    still[:, 8:40, 12:30] = (220, 40, 40, 255)
    write_sticker(Sticker(still, (1000,)), folder / "still.png")


def weights(folder: Path) -> None:
    """The smallest networks that cut out, generate and animate, and what caches need."""
    decoder = TransparencyDecoder(**SMALL)
    nn.init.ones_(decoder.conv_out.bias)
    save_bundle(ILDiff(SmallVAE(**VAE), decoder, None, "input"), CUTS_OUT, folder / "cuts_out")
    save_bundle(SmallVAE(**VAE), CUTS_OUT["init_args"]["vae"], folder / "vae")
    make_tokenizer(["a red cat"], [], 90).save_pretrained(folder / "text")
    small_bert(90, 16, 1, 2, 40).save_pretrained(folder / "text")
    (folder / "generates").mkdir()
    save_tiny_generator(folder / "generates")
    unet = {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION) | {"motion_buckets": 10}}
    (folder / "animates").mkdir()
    network = tiny_transparent(tiny_motion_unet(motion_buckets=10)).requires_grad_(True)
    save_tiny_transparent(network, folder / "animates", unet)


def shards(folder: Path) -> None:
    """Nine stickers, three in each split, that say that they are emoji of a source of long ago."""
    source = ProceduralStickers(seed=5, size=64, num_frames=3)
    with ShardWriter(folder / "shards", max_bytes=60_000) as writer:
        for number in range(9):
            key = f"noto-{0x1F600 + number:x}"
            split = ("test", "val", "train")[number % 3]
            writer.write(key, source[number], {**source.info(number), "group": key, "split": split, "source": "noto"})


def downloads(folder: Path) -> None:
    """The names of emoji as npm packs them, and two animations."""
    (folder / "cache").mkdir()
    names = [{"hexcode": stem.upper(), "label": f"thing {stem}"} for stem in STEMS]
    with tarfile.open(folder / "cache" / "emojibase-data-17.0.0.tgz", "w:gz") as archive:
        for language in ("en", "zh"):
            data = json.dumps(names).encode()
            member = tarfile.TarInfo(f"package/{language}/data.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for number, stem in enumerate(STEMS):
        (folder / "given" / stem).mkdir(parents=True)
        drawn = lottie([layer(square(20 + 9 * number))], frames=6, fps=60)
        (folder / "given" / stem / "lottie.json").write_bytes(as_json(drawn))


def study(folder: Path) -> None:
    """A finished study with answers, and the folders that it was made of."""
    (folder / "asked").mkdir()
    key = tiny_study(folder / "asked")
    write_answers(folder / "asked" / "study" / "answers" / "anna.jsonl", key, "anna", answers_of(key, "ours"))


def reviewed(folder: Path) -> None:
    """A finished review with answers, and the clips that it was made of."""
    (folder / "chosen").mkdir()
    key = tiny_review(folder / "chosen")
    lines = shares_of(key, lambda clip: clip.teacher == "calm")
    write_shares(folder / "chosen" / "review" / "answers" / "anna.jsonl", key, "anna", lines)


def teacher(folder: Path) -> None:
    """A student of two steps, with a recipe, so that it can teach, too."""
    (folder / "teacher").mkdir()
    save_tiny_image_to_video(folder / "teacher", num_inference_steps=2, guidance_scale=3.0)
    (folder / "teacher" / "recipe.yaml").write_text("model: {}\n", encoding="utf-8")


def trained(folder: Path) -> None:
    """A run with a checkpoint."""
    assert fork(["fit", "-c", YAML, "--trainer.logger.init_args.save_dir", "logs"], folder)[0] == 0


@dataclass(frozen=True)
class Verb:
    """A command line in which INPUTS stands for the folder of inputs.

    Attributes:
        words: of the command line.
        needs: what makes the inputs.
        copies: inputs that the verb changes, which each run gets as its own.
        kills: times that it is killed, of the many that the environment asks for.
        never_over: a folder that the verb refuses to write over once it is whole.
    """

    words: str
    needs: tuple[Callable[[Path], None], ...]
    copies: tuple[str, ...] = ()
    kills: float = 1.0
    never_over: str = ""

    def arguments(self, inputs: Path) -> list[str]:
        return [part.replace("INPUTS", str(inputs)) for part in self.words.split()]

    def begin(self, inputs: Path, folder: Path) -> Path:
        """A folder for its runs."""
        folder.mkdir()
        for name in self.copies:
            shutil.copytree(inputs / name, folder / name)
        return folder


RUN = "INPUTS/logs/ildiff/small/checkpoints/last.ckpt"
FIT = f"-c {YAML} --trainer.logger.init_args.save_dir logs"
CACHES = "--procedural 6 --device cpu"
METHODS = "--method ours=INPUTS/asked/in/ours --method base=INPUTS/asked/in/base"
VERBS = {
    "cutout": Verb(
        "cutout INPUTS/media/s0.webp out.webp --preview strip.png --weights INPUTS/cuts_out", (media, weights)
    ),
    "cutout-folder": Verb(
        "cutout INPUTS/media/s0.webp out --weights INPUTS/cuts_out", (media, weights), never_over="out"
    ),
    "generate": Verb(f"generate a-cat cat.webp {' '.join(MAKES)} --weights INPUTS/generates", (weights,)),
    "animate": Verb(
        f"animate INPUTS/still.png waves cat.webp {' '.join(MAKES)} --weights INPUTS/animates", (media, weights)
    ),
    "animate-few-steps": Verb(
        "animate INPUTS/still.png waves cat.webp --size 32 --frames 2 --device cpu --weights INPUTS/teacher "
        "--method animated-stickers",
        (media, teacher),
    ),
    "teach": Verb(
        "teach --procedural 2 --to clips --frames 2 --size 32 --device cpu --teacher few=INPUTS/teacher", (teacher,)
    ),
    "pack": Verb("pack INPUTS/media --for slack --to packs", (media,), kills=0.5, never_over="packs"),
    "build": Verb("data build --from INPUTS/media --to shards --workers 2", (media,)),
    "fetch": Verb(
        "data fetch noto-animated --from INPUTS/given --cache cache --to shards --size 64 --workers 0",
        (downloads,),
        ("cache",),
    ),
    "index": Verb("data index shards", (shards,), ("shards",)),
    "view": Verb("data view INPUTS/shards sheet.png", (shards,)),
    "groups": Verb("data groups INPUTS/shards --to groups.json", (shards,)),
    "regroup": Verb("data regroup shards", (shards,), ("shards",)),
    "cache-frames": Verb("data cache-frames INPUTS/shards --to frames --size 32 --frames 2", (shards,)),
    "cache-features": Verb(f"data cache-features --to features --size 64 --views 1 {CACHES}", ()),
    "cache-latents": Verb(
        f"data cache-latents --to latents --vae INPUTS/vae --text-encoder INPUTS/text --frames 2 --size 32 {CACHES}",
        (weights,),
    ),
    "weights": Verb(f"export weights {RUN} --part ildiff --to out", (trained,)),
    "onnx": Verb("export onnx INPUTS/cuts_out --to net.onnx --size 64", (weights,), kills=0.4),
    "fit": Verb(f"fit {FIT} --trainer.max_steps 7", ()),
    "predict": Verb(f"predict {FIT} --ckpt_path {RUN}", (trained,), kills=0.5),
    "benchmark": Verb(
        "benchmark alpha --split test --data INPUTS/shards --size 64 --methods ildiff threshold --conditions white "
        "--ildiff INPUTS/cuts_out --device cpu --to out --readme README.md --limit 2",
        (weights, shards),
        kills=0.5,
    ),
    "study-build": Verb(f"study build study {METHODS}", (study,), never_over="study"),
    "review-build": Verb("review build INPUTS/chosen/clips review", (reviewed,), never_over="review"),
    "review-report": Verb("review report chosen/review --resamples 50", (reviewed,), ("chosen",)),
    "review-choose": Verb("review choose chosen/review --worst 0.1", (reviewed,), ("chosen",)),
    "review-export": Verb("review export INPUTS/chosen/review shards", (reviewed,), never_over="shards"),
    "study-report": Verb("study report asked/study --resamples 50", (study,), ("asked",)),
}
EVERY_DAY = ("index", "regroup", "cache-frames", "study-build", "study-report")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Verb], Path]:
    """Makes what a verb needs, once."""
    folder, made = tmp_path_factory.mktemp("inputs"), set()

    def make(verb: Verb) -> Path:
        for need in verb.needs:
            if need not in made:
                need(folder)
                made.add(need)
        return folder

    return make


def check_finished(verb: Verb, arguments: list[str], again: Path, wanted: set[str]) -> None:
    """The next run succeeds, and leaves what an unbroken one leaves."""
    if verb.never_over:
        shutil.rmtree(again / verb.never_over, ignore_errors=True)
    assert fork(arguments, again)[0] == 0
    check_whole(again)
    assert files_of(again) == wanted


@pytest.mark.parametrize("name", EVERY_DAY)
def test_a_kill_before_any_change_on_the_disk(inputs, tmp_path, name):
    verb = VERBS[name]
    folder = inputs(verb)
    arguments = verb.arguments(folder)
    once = verb.begin(folder, tmp_path / "once")
    status, _, changes = fork(arguments, once)
    assert status == 0
    assert changes > 1
    # the first one, and the last ones, where files get their names
    for number in sorted({0, changes // 2, *range(max(0, changes - 3), changes)}):
        again = verb.begin(folder, tmp_path / f"again{number}")
        assert fork(arguments, again, kill_before=number)[0] == -signal.SIGKILL
        check_whole(again)
        check_finished(verb, arguments, again, files_of(once))


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", VERBS)
def test_kills_at_any_time_leave_whole_files_and_the_next_run_finishes(inputs, tmp_path, name):
    verb = VERBS[name]
    folder = inputs(verb)
    arguments = verb.arguments(folder)
    once = verb.begin(folder, tmp_path / "once")
    status, seconds, changes = fork(arguments, once)
    assert status == 0
    check_whole(once)
    kills = max(2, round(KILLS * verb.kills))
    again, chance = verb.begin(folder, tmp_path / "again"), random.Random(name)
    for number in range(kills):  # into the same folder, from early to late; most of the writing is near the end
        fork(arguments, again, kill_after=seconds * (0.3 + 0.75 * (number + chance.random()) / kills))
        check_whole(again)
    check_finished(verb, arguments, again, files_of(once))
    # and before what it does to files: a run that finds another's work does less
    again = verb.begin(folder, tmp_path / "changes")
    for number in sorted(chance.sample(range(changes), min(kills, changes))):
        fork(arguments, again, kill_before=number)
        check_whole(again)
    check_finished(verb, arguments, again, files_of(once))


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name in VERBS if name != "fit"])  # its own test is in test_sigterm
def test_sigterm_leaves_nothing_hidden(inputs, tmp_path, name):
    verb = VERBS[name]
    folder = inputs(verb)
    arguments = verb.arguments(folder)
    again = verb.begin(folder, tmp_path / "again")
    status, seconds, changes = fork(arguments, verb.begin(folder, tmp_path / "once"))
    assert status == 0
    ends = [{"kill_after": seconds * share} for share in (0.5, 0.9)]
    ends += [{"kill_before": changes * share // 10} for share in (3, 6, 9)]
    for number, end in enumerate(ends):
        again = verb.begin(folder, tmp_path / f"again{number}")
        status, *_ = fork(arguments, again, number=signal.SIGTERM, **end)
        assert status in (0, 128 + signal.SIGTERM)
        check_whole(again)
        hidden = {file for file in files_of(again) if any(part.startswith(".") for part in Path(file).parts)}
        # a lock's file alone keeps nobody off
        assert {file for file in hidden if Path(file).name != LOCK_NAME} == set()
