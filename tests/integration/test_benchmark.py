"""From a trained run to scores, tables and pictures, as `make` and the command line do it."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from glassine.__main__ import main
from glassine.bench import pretrain
from glassine.bench.loading import load_network
from glassine.bench.records import read_records
from glassine.bench.report import ALPHA_RESULTS
from glassine.bench.run import Budget, FitRun, Run, logger_folder
from glassine.bench.specs import depth_ablation, depth_arm, start_of, variants_ablation
from glassine.bench.study import ablate
from glassine.cli import benchmark_arguments
from glassine.data.codecs import read_sticker
from glassine.data.shards import ShardWriter
from glassine.data.sources.procedural import ProceduralStickers
from glassine.pretrained.weights import load_bundle
from glassine.utils.errors import UserError

SMALL = Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Six procedural stickers, two in each split."""
    folder = tmp_path_factory.mktemp("data") / "procedural"
    source = ProceduralStickers(seed=5, size=64, num_frames=3)
    with ShardWriter(folder) as writer:
        for i in range(6):
            about = {**source.info(i), "group": f"group-{i}", "split": ("test", "val", "train")[i % 3]}
            writer.write(f"sticker-{i}", source[i], about)
    return str(folder)


@pytest.fixture(scope="module")
def config(data, tmp_path_factory) -> Path:
    """The small experiment, writing into a folder of its own."""
    folder = tmp_path_factory.mktemp("experiment")
    content = yaml.safe_load(SMALL.read_text())
    content["trainer"]["logger"]["init_args"]["save_dir"] = str(folder / "runs")
    content["trainer"]["max_steps"] = 2
    content["trainer"]["limit_val_batches"] = 0
    path = folder / "ildiff_small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def run(config) -> Path:
    """A finished run."""
    folder = logger_folder(yaml.safe_load(config.read_text()))
    FitRun(config, folder, 2).finish()
    return folder


def test_a_run_loads_with_its_averaged_weights_its_seed_and_without_its_path(run):
    loaded = load_network(str(run))
    averaged = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    name = "decoder.conv_in.weight"
    torch.testing.assert_close(loaded.network.state_dict()[name], averaged[f"ildiff.{name}"])
    assert loaded.seed == 0
    assert not loaded.origin.startswith("/")


def test_a_folder_of_weights_loads_and_wrong_sources_are_named(run, tmp_path):
    bundle = tmp_path / "bundle"
    checkpoint = str(run / "checkpoints" / "last.ckpt")
    assert main(["export", "weights", checkpoint, "--part", "ildiff", "--to", str(bundle)]) == 0
    assert load_network(str(bundle)).seed is None
    with pytest.raises(UserError, match=r"neither model\.safetensors nor"):
        load_network(str(tmp_path))
    with pytest.raises(UserError, match="has no part 'codec'; its parts are ildiff"):
        load_network(str(run), "codec")
    config = (bundle / "config.yaml").read_text().replace("LayoutHint", "Horoscope")
    (bundle / "config.yaml").write_text(config)
    with pytest.raises(UserError, match=r"config\.yaml does not describe a network"):
        load_network(str(bundle))


def test_a_run_of_other_code_is_named_in_one_line(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "config.yaml").write_text((run / "config.yaml").read_text().replace("LayoutHint", "Horoscope"))
    with pytest.raises(UserError, match=r"does not describe a network of this version .*Horoscope") as caught:
        load_network(str(copy))
    assert "\n" not in str(caught.value)


def test_a_run_is_evaluated_with_scores_and_pictures(run, data, capsys):
    command = ["benchmark", "run", str(run), "--data", data, "--stickers", "2", "--size", "64", "--device", "cpu"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for expected in ("flood fill", "ILDiff", "own color, JPEG 75", "held_out.png", "held_out.webp"):
        assert expected in printed
    assert read_sticker(run / "held_out.png").num_frames == 1
    assert read_sticker(run / "held_out.webp").num_frames == 8
    assert {record.method for record in read_records(run / "scores")} >= {"flood_fill", "ildiff"}


def test_the_evaluation_of_no_run_is_one_line(tmp_path, capsys):
    assert main(["benchmark", "run", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_verb_scores_resumes_and_writes_tables(run, data, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table:alpha -->\n<!-- /table -->\n")
    command = ["benchmark", "alpha", "--split", "test", "--data", data, "--size", "64", "--to", str(tmp_path / "b")]
    command += ["--readme", str(readme)]
    command += [
        "--methods",
        "threshold",
        "color_projection",
        "ildiff_own",
        "ildiff",
        "cutout",
        "--conditions",
        "white",
        "procedural_glass",
    ]
    command += ["--device", "cpu", "--ildiff", str(run), str(tmp_path / "missing")]
    assert main(command) == 0
    assert "threshold" in capsys.readouterr().out
    text = readme.read_text()
    assert "| threshold | " in text
    assert "glassine cutout" in text
    assert "procedural glass on white" in text
    assert (tmp_path / "b" / "procedural.png").stat().st_size > 10_000
    capsys.readouterr()
    assert main(["benchmark", "tables", "--to", str(tmp_path / "b"), "--readme", str(readme)]) == 0
    assert readme.read_text() == text
    printed = capsys.readouterr().out
    assert "tables.md" in printed
    assert "generation.md has no records: run `glassine benchmark generation --split test`" in printed

    # without ILDiff: the frozen VAE of the small run has no weights of its own and is another one at each loading, and
    # what is new is timed together with what is not
    networks = ("ildiff_own", "ildiff", "cutout")
    files = [p for p in (tmp_path / "b" / ALPHA_RESULTS).glob("*.json") if not any(n in p.name for n in networks)]
    first = {path: path.stat().st_mtime_ns for path in files}
    assert len(first) == 2
    assert main([word for word in command if word not in networks]) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == first


def test_without_being_asked_for_tables_the_test_split_is_left_alone(data, tmp_path, capsys):
    command = ["benchmark", "alpha", "--data", data, "--size", "64", "--to", str(tmp_path), "--methods", "threshold"]
    assert main([*command, "--conditions", "white", "--readme", str(tmp_path / "README.md")]) == 0
    printed = capsys.readouterr().out
    assert "2 stickers of 2 groups, split val" in printed
    assert "`--split test` is for the published tables" in printed
    (record,) = read_records(tmp_path / ALPHA_RESULTS)
    assert record.split == "val"
    assert not (tmp_path / "tables.md").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "magic"], "magic"),
        (["--data", "nowhere"], "nowhere"),
        (["--device", "abacus"], "abacus"),
        (["--limit", "0"], "got 64, 8 and 0"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, says, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base = ["benchmark", "alpha", "--data", data, "--methods", "threshold", "--size", "64"]
    assert main([*base, *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_the_queue_trains_exports_and_then_has_nothing_to_do(config, tmp_path, capsys):
    content = yaml.safe_load(config.read_text())
    content["trainer"]["logger"]["init_args"]["save_dir"] = str(tmp_path / "runs")
    first, second = tmp_path / "shipped.yaml", tmp_path / "shipped_fine.yaml"
    first.write_text(yaml.safe_dump(content))
    logger = content["trainer"]["logger"]["init_args"]
    content["model"]["init_args"]["init_from"] = (
        f"{Path(logger['save_dir']) / logger['name'] / logger['version']}/checkpoints/last.ckpt"
    )
    logger["version"] = "fine"
    second.write_text(yaml.safe_dump(content))
    steps = [
        pretrain.Step("rough", fit=str(first)),
        pretrain.Step("fine", fit=str(second), part="ildiff", weights="ildiff", needs=("rough",)),
    ]
    queue = pretrain.Queue(steps, tmp_path / "state", "cpu")
    queue.work()
    weights = tmp_path / "state" / "weights" / "ildiff"
    assert load_bundle(str(weights)).decoder is not None
    assert capsys.readouterr().out.count(": done") == 2
    written = (weights / "model.safetensors").stat().st_mtime_ns
    pretrain.Queue(steps, tmp_path / "state", "cpu").work()
    assert not capsys.readouterr().out
    assert (weights / "model.safetensors").stat().st_mtime_ns == written


def test_latents_are_cached_by_name(tmp_path, monkeypatch):
    small = ("--procedural", "2", "--views", "1", "--size", "32", "--frames", "2")
    monkeypatch.setitem(benchmark_arguments.CACHES, "procedural", small)
    assert main(["benchmark", "caches", "procedural", "--latents", str(tmp_path), "--device", "cpu"]) == 0
    assert list((tmp_path / "procedural").glob("latents-*.safetensors"))


@pytest.mark.full
def test_the_depth_ablation_trains_scores_and_goes_on(config, data, tmp_path, capsys):
    def by_depth(seeds):
        budget = Budget(2, "cpu", data=data)
        return ablate(depth_ablation([0, 2], config), seeds, budget, tmp_path, stickers=1, size=64)

    tmp_path.mkdir(exist_ok=True)
    start = "step 0: nothing trained"
    assert [record.title for record in by_depth([0])] == [start, "depth 0", "depth 2"]
    assert (tmp_path / "ablate_depth.png").stat().st_size > 10_000
    capsys.readouterr()
    records = by_depth([0, 1])
    assert "depth2-seed0-2steps: 2 of 2 steps done" in capsys.readouterr().out
    assert sorted((record.title, record.seed) for record in records) == [
        ("depth 0", 0), ("depth 0", 1), ("depth 2", 0), ("depth 2", 1), (start, 0)
    ]  # fmt: skip
    assert {"seconds_per_clip", "peak_memory_mib", "parameters"} <= records[0].costs.keys()
    page = (tmp_path / "ablate_depth.md").read_text()
    assert "| depth 2 (2 seeds) |" in page
    assert "PSNR above step 0 [95%]" in page
    line = next(line for line in page.splitlines() if line.startswith(f"| {start} |"))
    assert line.count("–") == 1  # nothing is above itself


@pytest.mark.full
def test_arms_of_any_depth_start_alike(config, data, tmp_path):
    budget = Budget(0, "cpu", data=data)
    networks = []
    for depth in (0, 2):
        run = Run(start_of(depth_arm(depth, base=config)), 0, budget)
        run.train()
        networks.append(load_network(str(run.checkpoint)).network)
    clip = torch.rand(1, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one, other = (network.decode(clip)[0] for network in networks)
    torch.testing.assert_close(one, other)


@pytest.mark.full
def test_variants_are_trained_alike_and_shown_in_their_order(config, data, tmp_path):
    folder = tmp_path / "experiments"
    (folder / "variants").mkdir(parents=True)
    content = yaml.safe_load(config.read_text())
    content["trainer"]["logger"]["init_args"]["save_dir"] = str(tmp_path / "runs")
    for name in ("variants/no_layout", "tiny_paper"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        content["model"]["init_args"]["ildiff"]["init_args"]["adapter"]["init_args"].pop("depth", None)
    chosen = variants_ablation(("variants/no_layout", "tiny_paper"), folder)
    ablate(chosen, [0], Budget(2, "cpu", data=data), tmp_path, stickers=1, size=64)
    table = (tmp_path / "ablate_variants.md").read_text()
    assert 0 < table.index("| as in the paper") < table.index("| without distilled layout")


def test_styles_writes_records_and_a_page_of_the_validation_split(data, tmp_path, capsys):
    command = ["benchmark", "styles", "--shards", data, "--rendered", "0", "--to", str(tmp_path)]
    command += ["--methods", "cutout", "flood_fill", "--conditions", "white", "checkerboard"]
    assert main(command) == 0
    assert "2 stickers of 2 groups, split val" in capsys.readouterr().out
    page = (tmp_path / "styles_val.md").read_text()
    assert "| white | `glassine cutout` |" in page
    assert "2 / 2" in page
    records = read_records(tmp_path / "results" / "styles")
    assert {record.method for record in records} == {"cutout", "flood_fill"}
    assert all(set(record.conditions) == {"white", "checkerboard"} for record in records)
