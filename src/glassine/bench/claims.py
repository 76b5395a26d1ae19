"""Check the orderings in the papers' tables against our records: each holds, is reversed, or is undecided.

`benchmarks/claims.yaml` maps published columns to our scores and published rows to our rows. The orderings and their
directions follow from the published numbers. Claims that a paper makes in its text, without numbers, name their two
rows in the file. `glassine benchmark tables` writes the page and the block in the results.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from glassine.bench.gaps import Verdict, judge, signed
from glassine.bench.records import Record
from glassine.bench.tables import NOTHING, Table, markdown, read_optional
from glassine.utils.errors import UserError

CLAIMS = "claims.yaml"
FLOOR = "train"  # training clips, scored at the number of clips of the methods
WORDS = ("holds", "reversed", "undecided", "not measured")


@dataclass(frozen=True)
class Claim:
    """One ordering: in some score, `better` is ahead of `worse`.

    Attributes:
        paper: short name.
        table: number of the table in the paper.
        what: the published column, or the claim in the text.
        better: the paper's name of the better row.
        worse: the paper's name of the worse row.
        published: both numbers as printed; empty for a claim in the text.
        rows: names of our two rows, see `rows_of`.
        scores: our scores for the column; the first that both rows have is judged.
        higher: whether a higher score is better.
        conditions: over which the score is averaged.
        results: folder of the records below `results`.
        own: whether one of the rows is the method that the paper proposes, or the claim is made in the text.
        incomparable: why the rows cannot be compared here; empty if they can.
    """

    paper: str
    table: str
    what: str
    better: str
    worse: str
    published: str
    rows: tuple[str, str]
    scores: tuple[str, ...]
    higher: bool
    conditions: tuple[str, ...]
    results: str
    own: bool
    incomparable: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim, the verdict on it, and the score that was judged."""

    claim: Claim
    score: str
    verdict: Verdict


def read_claims(benchmarks: Path) -> list[Claim]:
    """All claims in `claims.yaml` of that folder; an empty list without such a file.

    Raises:
        UserError: the file does not have the format described in its header.
    """
    found: list[Claim] = []
    for entry in read_optional(benchmarks / CLAIMS) or ():
        try:
            found += printed_claims(entry, benchmarks) + text_claims(entry)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{benchmarks / CLAIMS} must have paper, table, results, conditions, scores and rows, got an entry "
                f"without them or of another form ({error!r})"
            ) from error
    return found


def printed_claims(entry: Mapping[str, Any], benchmarks: Path) -> list[Claim]:
    """Claims from every pair of rows of a published table, in every column that has a score of ours."""
    if "published" not in entry:
        return []
    tables = read_optional(benchmarks / entry["published"]) or ()
    numbers = {row["name"]: row for table in tables if table["table"] == entry["table"] for row in table["rows"]}
    found = []
    for column, score in entry["scores"].items():
        for one, other in combinations([name for name in entry["rows"] if name in numbers], 2):
            values = numbers[one].get(column), numbers[other].get(column)
            if None in values or values[0] == values[1]:
                continue
            swap = (values[0] > values[1]) != bool(score["higher"])
            better, worse = (other, one) if swap else (one, other)
            text = f"{numbers[better][column]} before {numbers[worse][column]}"
            found.append(claim_of(entry, score, column, better, worse, text))
    return found


def text_claims(entry: Mapping[str, Any]) -> list[Claim]:
    """Claims that a paper makes without numbers, or with numbers in a figure."""
    found = []
    for one in entry.get("texts", ()):
        for column in one["columns"]:
            score = entry["scores"][column]
            found.append(claim_of(entry, score, f"{one['says']} ({column})", one["better"], one["worse"], ""))
    return found


def claim_of(
    entry: Mapping[str, Any], score: Mapping[str, Any], what: str, better: str, worse: str, published: str
) -> Claim:
    """Build the claim that `better` is ahead of `worse`, two rows of an entry of `claims.yaml`."""
    names, data = score["score"], f"/{score['data']}" if "data" in score else ""
    return Claim(
        entry["paper"],
        str(entry["table"]),
        what,
        better,
        worse,
        published,
        (entry["rows"][better] + data, entry["rows"][worse] + data),
        (names,) if isinstance(names, str) else tuple(names),
        bool(score["higher"]),
        tuple(score.get("conditions", entry["conditions"])),
        entry["results"],
        not published or entry.get("own") in (better, worse),
        "; ".join(reason for row, reason in entry.get("incomparable", {}).items() if row in (better, worse)),
    )


def judge_all(claims: Sequence[Claim], records: Mapping[str, Sequence[Record]]) -> list[Judged]:
    """All verdicts; `records` are those shown in the tables, by the name of their results folder."""
    return [judge_claim(claim, records.get(claim.results, ())) for claim in claims]


def judge_claim(claim: Claim, records: Sequence[Record]) -> Judged:
    """The verdict of one claim."""
    better, worse = (rows_of(records, name, claim.conditions) for name in claim.rows)
    score = next((name for name in claim.scores if has_score((*better, *worse), name)), claim.scores[0])
    starts = [record for record in records if record.costs.get("steps") == 0]
    floors = [record for record in records if record.method == FLOOR]
    verdict = judge(better, worse, score, claim.conditions, claim.higher, starts, floors)
    if claim.incomparable and verdict.word != "not measured":
        verdict = Verdict("undecided", claim.incomparable, verdict.gap)
    return Judged(claim, score, verdict)


def rows_of(records: Sequence[Record], name: str, conditions: Sequence[str]) -> list[Record]:
    """The records (seeds) of a row that are scored under at least one of the conditions.

    Args:
        records: of all rows.
        name: a method, `method/training set`, or the title of a row.
        conditions: names.
    """
    method, _, data = name.partition("/")
    return [
        record
        for record in records
        if (record.title == name or (record.method == method and data in ("", record.data)))
        and any(condition in record.conditions for condition in conditions)
    ]


def has_score(records: Sequence[Record], score: str) -> bool:
    """Whether every record has the score under some condition; False without records."""
    return bool(records) and all(
        any(cell.scores.get(score) is not None for cell in record.conditions.values()) for record in records
    )


def verdict_table(judged: Sequence[Judged]) -> Table:
    """One row per claim."""
    head = ["table", "ordering", "in", "published", "our score", "here [95%]", "clips (groups)", "verdict"]
    return head, [line_of(one) for one in judged]


def line_of(judged: Judged) -> list[str]:
    """The cells of a claim's row; a gap above 0 agrees with the paper."""
    claim, verdict = judged.claim, judged.verdict
    gap = verdict.gap
    counted = f"{gap.items} ({gap.groups})" if gap and gap.groups else NOTHING
    digits = 3 if gap and max(map(abs, gap.values)) < 10 else 2
    word = f"**{verdict.word}**" if verdict.word in ("holds", "reversed") else verdict.word
    return [
        f"{claim.paper} {claim.table}",
        f"{claim.better} before {claim.worse}",
        claim.what,
        claim.published or NOTHING,
        f"`{judged.score}`",
        signed(gap, digits),
        counted,
        f"{word}: {verdict.reason}" if verdict.reason else word,
    ]


def counts(judged: Sequence[Judged]) -> str:
    """Markdown table of the number of orderings by table and verdict."""
    tables: dict[str, Counter[str]] = {}
    for one in judged:
        tables.setdefault(f"{one.claim.paper}, table {one.claim.table}", Counter())[one.verdict.word] += 1
    rows = [[name, *(str(found[word]) for word in WORDS)] for name, found in tables.items()]
    return markdown((["", *WORDS], rows))


ABOUT = (
    "An ordering holds, or is reversed, where the 95% interval of its gap leaves 0 out: a paired bootstrap over the "
    "groups of the test set and over the seeds of both rows. It is undecided where the interval holds 0, where a row "
    "with a network has fewer than three seeds or is not better than its network before training (step 0), and where "
    "both rows are as near to the test clips as training clips are (the floor). Gaps are above 0 where they agree with "
    "the paper. Published numbers are of full-size networks on other data: a verdict is about these networks at the "
    "tiny scale, on stickers."
)


def claims_page(judged: Sequence[Judged]) -> str:
    """Text of `claims.md`."""
    return (
        "# What the papers' tables say, and what our records say of it\n\n"
        "Generated by `glassine benchmark tables` from `claims.yaml` and the records; edit nothing here.\n\n"
        f"{ABOUT}\n\n{counts(judged)}\n\n{markdown(verdict_table(judged), text_columns=5)}\n"
    )


def verdict_block(judged: Sequence[Judged]) -> str:
    """The block in the page of results: the counts, and the orderings about each paper's own method."""
    shown = [one for one in judged if one.claim.own and one.verdict.word != "not measured"]
    table = f"\n\n{markdown(verdict_table(shown), text_columns=5)}" if shown else ""
    return f"{counts(judged)}{table}\n\n{ABOUT} All orderings are in `benchmarks/claims.md`."
