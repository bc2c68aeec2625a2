"""A guard that accepts by certificate: 200 product reviews with known answers, classified by a small real model.

    python examples/certified.py           recorded replies of the model, five samples for each product review
    python examples/certified.py --live    the model itself, on this machine (three to five minutes; `make demo` installs it)

1. Without a certificate the guard accepts nothing: every call goes to a person.
2. A script that knows the right answers reviews the audited calls, with the same method that people use.
3. These reviews give a certificate: with 90 % confidence, at most one in ten of the values on which five samples agree is
   wrong. The guard accepts these values, and escalates the rest.
4. After a change of one word in the prompt, the certificate no longer applies and the guard accepts nothing.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmguard import Guard, ModelReply, OpenAIModel, OutcomeLog, SelfConsistency, certified, escalate
from llmguard.certification import Certificate, bars, table_lines
from llmguard.core.canonical import decode, encode
from llmguard.core.errors import UsageError
from llmguard.models.function import FunctionModel
from llmguard.models.local import local_model
from llmguard.operations.certify import curve_of, draw_certificate, evidence_of

SAMPLES = 5
RECORDED = Path(__file__).parent / "data" / "certified.jsonl"
PROMPT = """user:
You judge product reviews. Answer with JSON only: the sentiment is positive or negative.

Text: The blender is loud and leaks.
JSON: {"sentiment": "negative"}

Text: {{ review }}
JSON:"""
SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative"]}},
    "required": ["sentiment"],
    "additionalProperties": False,
}
PRODUCTS = (
    "kettle lamp backpack blender keyboard tent toaster jacket headset pan mattress watch drill printer chair pillow camera"
    " bicycle knife umbrella"
).split()
SENTENCES = {
    "positive": (
        "I love this {}. It works perfectly.",
        "Excellent {}, well made and easy to use.",
        "The {} is great, the best I ever had.",
        "Very happy with this {}.",
        "A wonderful {} at a fair price.",
    ),
    "negative": (
        "This {} is terrible. It broke after two days.",
        "Awful {}, cheaply made.",
        "Very bad {}, I hate it.",
        "A useless {}, it never worked.",
        "The {} is a waste of money, I want it back.",
    ),
}
TRUTH = {
    sentence.format(product): sentiment
    for product in PRODUCTS
    for sentiment, sentences in SENTENCES.items()
    for sentence in sentences
}


def sentiment_guard(model: Any, log: OutcomeLog, prompt: str = PROMPT, alpha: float = 0.1) -> Guard[Any]:
    """Accepts values on which five samples agree and which a certificate covers; the rest goes to a person. All calls are
    audited, so that 200 are enough; in production one in twenty would be (`audit=0.05`)."""
    return Guard(
        "sentiment",
        prompt=prompt,
        schema=SCHEMA,
        models=[model],
        consistency=SelfConsistency(n_max=SAMPLES, plan=(3, 1, 0)),
        accept=certified(alpha, 0.1, plans=[(5, 1, 0), (4, 1, 0), (3, 1, 0)]),
        audit=1.0,
        fallback=[escalate()],
        log=log,
    )


def review_by_the_truth(log: OutcomeLog, outcome_id: str, candidate: tuple[Any, ...], truth: str) -> None:
    """Review a call as a person would: right, or wrong with a correction."""
    if not candidate:
        log.review(outcome_id, "unsure", reviewer="truth", blind=True)
    elif candidate[0]["sentiment"] == truth:
        log.review(outcome_id, "right", reviewer="truth", blind=True)
    else:
        log.review(outcome_id, "wrong", correction={"sentiment": truth}, reviewer="truth", blind=True)


def run(
    model: Any,
    log: OutcomeLog,
    truths: Mapping[str, str] = TRUTH,
    *,
    alpha: float = 0.1,
    picture: Path | None = None,
) -> Counter[str]:
    """Steps 1 to 4. Returns how many calls ended in which way, without and under the certificate."""
    guard, counts = sentiment_guard(model, log, alpha=alpha), Counter[str]()
    for review, truth in truths.items():
        outcome = guard.run(review=review)
        counts[f"{outcome.status} without"] += 1
        review_by_the_truth(log, outcome.id, outcome.candidate, truth)
    print(f"{counts['escalated without']} of {len(truths)} reviews escalated: {outcome.violations[-1].message}\n")

    evidence = evidence_of(guard)
    found = evidence.certify(issued_at=time.time())
    print(found.sentence(), *table_lines(found.table, found.method), "", bars(curve_of(evidence).points), "", sep="\n")
    if picture is not None:
        draw(picture, found, evidence, guard.name)
    if not isinstance(found, Certificate):
        return counts
    log.save_certificate(found, time.time())

    for review, truth in truths.items():
        outcome = guard.run(review=review)
        right = outcome.has_value and outcome.value["sentiment"] == truth
        counts[outcome.status if not outcome.has_value else "right" if right else "wrong"] += 1
    print(
        f"under the certificate: {counts['right']} accepted and right, {counts['wrong']} accepted and wrong,"
        f" {counts['escalated']} escalated"
    )

    changed = sentiment_guard(model, log, PROMPT.replace("product reviews", "reviews"), alpha)
    for review in truths:
        outcome = changed.run(review=review)
        if outcome.vote is not None and outcome.vote.accepted:  # all samples agree, and still it is not accepted
            break
    counts[f"{outcome.status} after a change"] += 1
    print(f"one word changed: {outcome.violations[-1].message}")
    return counts


def draw(picture: Path, found: Any, evidence: Any, name: str) -> None:
    try:
        draw_certificate(picture, found, curve_of(evidence), name)
        print(f"risk over coverage: {picture}\n")
    except UsageError as error:  # matplotlib is an extra
        print(f"{error}\n")


# ------------------------------------------------------------------------------------------------- the model


def recorded_model() -> FunctionModel:
    """Returns the recorded replies of the real model, sample by sample."""
    rows = [decode(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    said = {row["review"]: row["samples"] for row in rows}

    def reply(request: Any) -> ModelReply:
        text = str(request.messages[-1].content).split("Text: ")[-1].removesuffix("\nJSON:")
        return ModelReply(said[text][request.sample])

    return FunctionModel(reply, name="smollm2-135m-instruct")


@contextmanager
def live_model() -> Iterator[OpenAIModel]:
    with local_model() as server:
        yield OpenAIModel(
            server.model, base_url=server.base_url, api_key="none", temperature=0.8, max_tokens=16, max_parallel=2
        )


def record(log: OutcomeLog) -> None:
    """Write the replies in the log of a live run to the file that `recorded_model` reads."""
    lines = []
    for row in reversed(log.find(guard="sentiment", limit=None)):
        record = log.get(row.id)
        if record is not None and record.outcome is not None and len(lines) < len(TRUTH):
            texts = [attempt.text for attempt in record.outcome.attempts]
            lines.append(encode({"review": record.opening.inputs["review"], "samples": texts}).decode())
    RECORDED.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    log = OutcomeLog.open("sqlite:///certified.db")
    if "--live" not in arguments:
        run(recorded_model(), log, picture=Path("certified.png"))
        return
    with live_model() as model:
        run(model, log, picture=Path("certified.png"))
    if "--record" in arguments:
        record(log)


if __name__ == "__main__":
    main(sys.argv[1:])
