import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from tests.helpers.tiny_study import answers_of, read_plan, write_answers, write_methods

from glassine.__main__ import main
from glassine.study.plan import load_key


def build(folder: Path, *more: str) -> int:
    names = ("ours", "base", "third") if "all" in more else ("ours", "base")
    methods = write_methods(folder / "in", names)
    arguments = [argument for name, path in methods.items() for argument in ("--method", f"{name}={path}")]
    return main(["study", "build", str(folder / "study"), *arguments, *more])


def test_from_folders_of_stickers_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "prompts.csv").write_text("file,prompt\nitem1.webp,a square walks\n")
    colors = ["--background", "checker", "#336699"]
    prompts = ["--prompts", str(tmp_path / "prompts.csv")]
    assert build(tmp_path, "--questions", "ildiff", "--checks", "1", "--no-ties", *colors, *prompts) == 0
    said = capsys.readouterr().err
    assert "5 comparisons, 1 of them checks, 2 questions each" in said
    assert "no prompts for 3 of 4 items" in said
    plan = read_plan(tmp_path / "study")
    assert plan["backgrounds"] == ["checker", "#336699"]
    assert plan["ties"] is False
    assert {trial["prompt"] for trial in plan["trials"]} == {"", "a square walks"}

    assert main(["study", "report", str(tmp_path / "study")]) == 2
    assert "no answers yet" in capsys.readouterr().err
    key = load_key(tmp_path / "study")
    for name in ("anna", "ben"):
        write_answers(tmp_path / "study" / "answers" / f"{name}.jsonl", key, name, answers_of(key, "ours"))
    assert main(["study", "report", str(tmp_path / "study"), "--resamples", "100"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "study" / "report.md").read_text(encoding="utf-8")
    assert "## frame smoothness" in printed
    report = json.loads((tmp_path / "study" / "report.json").read_text(encoding="utf-8"))
    assert report["questions"]["overall"]["methods"]["ours"]["wins"] == 16
    assert report["questions"]["overall"]["methods"]["base"]["rate"] == 0


def test_the_best_of_all_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert build(tmp_path, "--show", "all", "--questions", "vsd2m") == 0
    key = load_key(tmp_path / "study")
    path = write_answers(tmp_path / "anna.jsonl", key, "anna", answers_of(key, "third"))
    (tmp_path / "out").mkdir()
    arguments = ["--answers", str(path), "--to", str(tmp_path / "out"), "--resamples", "20"]
    assert main(["study", "report", str(tmp_path / "study"), *arguments]) == 0
    assert "Chance is 33.3%" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_what_was_answered_outlives_a_server_that_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert build(tmp_path) == 0
    key = load_key(tmp_path / "study")
    command = [sys.executable, "-m", "glassine", "study", "serve", str(tmp_path / "study"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0]
            content = {"study": key.study, "rater": "Anna", "answers": answers_of(key, "ours")[:4]}
            request = urllib.request.Request(
                f"{url}api/answers", json.dumps(content).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as reply:
                assert json.load(reply) == {"saved": 4}
        finally:
            server.send_signal(signal.SIGKILL)
    capsys.readouterr()
    assert main(["study", "report", str(tmp_path / "study"), "--resamples", "20"]) == 0
    assert "| anna  | 4 of 12 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "OUT", "--method", "ours=IN/ours"], "at least two"),
        (["build", "OUT", "--method", "ours=IN/ours", "--method", "base=IN/gone"], "there is no folder"),
        (
            ["build", "OUT", *["--method", "ours=IN/ours", "--method", "base=IN/base", "--pairs", "99"]],
            "--pairs must be in [1, 4]",
        ),
        (["build", "OUT", *["--method", "ours=IN/ours", "--method", "base=IN/base", "--background", "x"]], "checker"),
        (
            ["build", "OUT", *["--method", "ours=IN/ours", "--method", "base=IN/base", "--prompts", "IN/no.csv"]],
            "cannot be read",
        ),
        (["build", "gone/OUT", *["--method", "ours=IN/ours", "--method", "base=IN/base"]], "there is no folder gone"),
        (["serve", "IN"], "contains no study"),
        (["report", "IN"], "contains no study"),
        (["report", "IN", "--min-consistency", "2"], "must be in [0, 1]"),
        (["report", "IN", "--resamples", "0"], "--resamples must be in"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
):
    write_methods(tmp_path / "in")
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}
    for word, place in places.items():
        arguments = [argument.replace(word, place) if "gone/" not in argument else argument for argument in arguments]
    assert main(["study", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_damaged_stickers_and_answers_of_another_study_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    methods = write_methods(tmp_path / "in")
    (methods["base"] / "item1.gif").write_bytes(b"GIF89a")
    arguments = [argument for name, path in methods.items() for argument in ("--method", f"{name}={path}")]
    assert main(["study", "build", str(tmp_path / "study"), *arguments]) == 0
    error = capsys.readouterr().err
    assert "1 of 4 items skipped" in error
    assert "item1.gif" in error
    other = tmp_path / "study" / "answers" / "other.jsonl"
    other.write_text('{"study": "000000000000", "rater": "anna", "form": 0}\n')
    assert main(["study", "report", str(tmp_path / "study")]) == 2
    error = capsys.readouterr().err
    assert "other.jsonl is from study 000000000000" in error
    assert error.count("\n") == 1


def test_lengthened_delays_are_counted_and_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    methods = write_methods(tmp_path / "in")
    pictures = [Image.new("RGB", (8, 8), (80 * number, 20, 20)) for number in (1, 2, 3)]
    pictures[0].save(methods["base"] / "item2.gif", save_all=True, append_images=pictures[1:], duration=10)
    arguments = [argument for name, path in methods.items() for argument in ("--method", f"{name}={path}")]
    assert main(["study", "build", str(tmp_path / "study"), *arguments]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1 sticker has adjusted frame times: base/item2.gif: all frames have a delay of 10 ms" in said
    assert load_key(tmp_path / "study").notes == {
        "base/item2.gif": "all frames have a delay of 10 ms or less; as in browsers, they are shown for 100 ms"
    }
