"""The page's part that keeps answers, run by Node with a browser stood in for."""

import json
import shutil
import subprocess
from importlib.resources import files

import pytest

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node: apt-get install nodejs")
ANSWER_STORE = files("glassine.study") / "static" / "answer_store.js"
STAND_IN = """
const said = [], sent = [], kept = {};
let replies = [];  // of the server, one after the other; the last one stays
globalThis.location = { protocol: "http:" };
globalThis.localStorage = { getItem: (name) => kept[name] ?? null, setItem: (name, text) => { kept[name] = text; } };
const later = setImmediate;
globalThis.setTimeout = (work) => later(work);
globalThis.fetch = async (address, options) => {
  const reply = replies.length > 1 ? replies.shift() : replies[0];
  if (reply === "reset") throw new TypeError("failed");
  if (options && options.method === "POST") sent.push([address, JSON.parse(options.body)]);
  const body = reply === "plain" ? "<html>" : address === "api/study" ? '{"study": "s"}'
    : address === "api/start" ? '{"rater": "anna", "form": 0, "answers": []}' : '{"saved": 1}';
  const status = reply === "plain" ? 404 : reply === "busy" ? 503 : 200;
  return { ok: status === 200, status, json: async () => JSON.parse(body) };
};
const settle = async () => { for (let turn = 0; turn < 200; turn++) await new Promise((done) => later(done)); };
const store = new AnswerStore({ id: "s", forms: [[], []] });
store.onTrouble = (text) => said.push(text);
const answer = (trial) => ({ trial, question: "q", choice: "a", shown: ["a", "b"], time: `t${trial}` });
"""


def run(script: str) -> dict:
    """What `out` is after the script."""
    code = (
        ANSWER_STORE.read_text()
        + STAND_IN
        + "(async () => {"
        + script
        + "console.log(JSON.stringify(out)); process.exit(0); })();"
    )
    done = subprocess.run([NODE, "-e", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_server_that_resets_the_first_requests_is_found():
    out = run(
        """replies = ["reset", "busy", "up"];
        await store.findServer(); await store.open("Anna"); store.add(answer(1)); await settle();
        const out = { server: store.server, lost: store.lost, sent, pending: store.pending.length, said };"""
    )
    assert (out["server"], out["lost"], out["pending"]) == (True, False, 0)
    assert [address for address, _ in out["sent"]] == ["api/start", "api/answers"]
    assert out["said"][0].startswith("The server does not answer yet")
    assert out["said"][-1] == ""


def test_answers_to_a_server_that_is_away_are_kept_told_and_sent_when_it_is_back():
    out = run(
        """replies = ["reset"];
        await store.findServer(); await store.open("Anna");
        store.add(answer(1)); store.add(answer(2)); await settle();
        const { lost, pending } = store;
        const before = { lost, pending: pending.length, said: said.at(-1), kept: Object.keys(kept) };
        replies = ["up"]; await settle(); store.add(answer(3)); await settle();
        const out = { before, lost: store.lost, pending: store.pending.length, said: said.at(-1), sent };"""
    )
    assert out["before"]["lost"]
    assert out["before"]["pending"] == 2
    assert "nothing is saved there yet" in out["before"]["said"]
    assert "glassine-study/s/anna" in out["before"]["kept"]
    assert (out["lost"], out["pending"], out["said"]) == (False, 0, "")
    given = [answer["trial"] for address, body in out["sent"] if address == "api/answers" for answer in body["answers"]]
    assert given == [1, 2, 3]


def test_a_plain_web_server_is_no_server_and_no_trouble():
    out = run(
        """replies = ["plain"];
        await store.findServer(); await store.open("Anna"); store.add(answer(1)); await settle();
        const out = { server: store.server, lost: store.lost, said, pending: store.pending.length };"""
    )
    assert out == {"server": False, "lost": False, "said": [""], "pending": 0}
