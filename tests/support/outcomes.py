"""What llmguard makes of many replies, one line of JSON each, to be compared between processes.

python -m tests.support.outcomes
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.renderings import trials
from benchmarks.scoreboard import load, load_ordinary
from llmguard import Guard, SelfConsistency
from llmguard.checks import dates_in, dates_occur, names_occur, numbers_in, numbers_occur
from llmguard.core.canonical import Json, encode
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema
from llmguard.testing import ScriptedModel

RENDERINGS = 200
SOURCE = "On 3 May 2024 (03/05/24) Zoë paid €1.250,40 and ₹1,25,000 for 12 crates; Straße 7, İstanbul, 1.2 million."
DESCRIBED: dict[str, Json] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "description": "Amount in GBP; amounts in USD or EUR must be converted first"},
        "height": {"type": "number", "description": "in m, cm, feet or inches, as the text says"},
        "date": {"type": "string", "format": "date"},
        "team": {"enum": ["billing", "Billing team", "shipping", "BILLING"]},
        "name": {"type": "string"},
    },
    "required": ["amount"],
}
REPLIES = (
    *('{"amount": "$30"}', '{"amount": "30 EUR"}', '{"amount": 30, "height": "6 ft"}', '{"amount": "1.250,40 €"}'),
    *(
        '{"amount": 1250.4, "date": "3 May 2024"}',
        '{"amount": 12, "date": "03/05/24"}',
        '{"amount": 12, "date": "5.3.2024"}',
    ),
    *(
        '{"amount": 12, "team": "Billing"}',
        '{"amount": 12, "team": "the billing team"}',
        '{"AMOUNT": 12, "Name": "ZOË"}',
    ),
    *('{"amount": 12, "name": "Zoe\\u0308"}', '{"amount": "İ12"}', '{"amount": "twelve"}', '{"amount": "1 250,40"}'),
)


def lines() -> Iterator[Json]:
    """Readings, then whole calls with checks, re-asks and a vote."""
    for case in (*load(), *load_ordinary()):
        reading = read(ModelReply(case.reply, finish_reason=case.finish_reason), compile_schema(case.schema))  # type: ignore[arg-type]
        yield [case.id, reading.failure, reading.value, [str(each) for each in (*reading.violations, *reading.repairs)]]
    for number in range(RENDERINGS):
        for trial in trials(f"outcomes/{number}"):
            yield [trial.edit, trial.reply, list(trial.read), trial.why]
    yield [sorted(map(str, numbers_in(SOURCE))), sorted(map(str, dates_in(SOURCE)))]
    checks = [numbers_occur("/amount"), dates_occur("/date"), names_occur("/name")]
    for first in REPLIES:
        guard = Guard(
            "g",
            prompt="{{ text }}",
            schema=DESCRIBED,
            models=[ScriptedModel([first, *REPLIES])],
            checks=checks,
            log=None,
        )
        yield outcome_line(guard)
        sampled = Guard(
            "v",
            prompt="{{ text }}",
            schema=DESCRIBED,
            models=[ScriptedModel([first, *REPLIES])],
            consistency=SelfConsistency(n_max=5),
            log=None,
        )
        yield outcome_line(sampled)


def outcome_line(guard: Guard) -> Json:
    outcome = guard.run(text=SOURCE)
    told = [str(each) for each in (*outcome.violations, *outcome.repairs)]
    return [guard.fingerprint, outcome.status, outcome.json, told, str(outcome.vote and outcome.vote.candidate)]


if __name__ == "__main__":
    for line in lines():
        print(json.dumps(encode(line).decode()))  # ASCII, whatever the locale's encoding is
