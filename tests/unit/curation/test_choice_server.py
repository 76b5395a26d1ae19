import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.helpers.serving import in_thread

from glassine.cli.curate_page import ChoiceServer, write_site
from glassine.curation.choosing import Question, load_answers, page_plan

QUESTIONS = [Question("<i>hi</i>", "<i>hi</i> (3)", "", (("aa", "aa"), ("bb", "bb")))]


@pytest.fixture
def server(tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    plan = page_plan("VSD-C", QUESTIONS, {"aa": "aa.webp", "bb": "bb.webp"})
    write_site(site, plan)
    with (
        ChoiceServer(site, tmp_path / "choice.json", QUESTIONS, plan["study"], "Ann") as one,
        in_thread(one.serve, one.shutdown, one.port),
    ):
        yield one, plan["study"]


def ask(server: ChoiceServer, path: str, content: dict | None = None, **headers: str) -> tuple[int, bytes]:
    data = None if content is None else json.dumps(content).encode()
    kind = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(server.url + path, data, {**kind, **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_is_served_and_answers_are_kept(server, tmp_path: Path) -> None:
    one, study = server
    assert b"choose.js" in ask(one, "")[1]
    assert b"VSD-C" in ask(one, "plan.js")[1]
    given = {"study": study, "answers": [{"name": "<i>hi</i>", "value": "bb"}]}
    assert json.loads(ask(one, "api/answers", given)[1]) == {"saved": 1}
    assert load_answers(tmp_path / "choice.json") == ({"<i>hi</i>": "bb"}, "Ann")
    assert json.loads(ask(one, "api/start", {"study": study})[1]) == {"answers": {"<i>hi</i>": "bb"}}


def test_answers_to_something_else_and_of_other_pages_are_refused(server, tmp_path: Path) -> None:
    one, study = server
    assert ask(one, "api/answers", {"study": study, "answers": [{"name": "x", "value": "bb"}]})[0] == 400
    assert ask(one, "api/answers", {"study": "other", "answers": []})[0] == 400
    assert ask(one, "api/answers", {"study": study, "answers": []}, Host="evil.example")[0] == 403
    assert ask(one, "api/answers", {"study": study, "answers": []}, Origin="http://evil.example")[0] == 403
    assert not (tmp_path / "choice.json").exists()
