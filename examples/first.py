"""A guarded call in ten lines, without a key or a network: a scripted model, whose replies do not fit the schema."""

from typing import Literal

from llmguard import Guard, constant
from llmguard.testing import ScriptedModel

mood = Guard(
    "mood",
    prompt="Is this review positive or negative? {{ review }}",
    schema=Literal["positive", "negative", "unknown"],
    models=[ScriptedModel(["It sounds rather happy to me!", '"happy"', '"delighted"'])],
    fallback=[constant("unknown")],
    log=None,
)
outcome = mood.run(review="I love this lamp.")
print(outcome.explain())
print(f"{outcome.status}: {outcome.value!r}, by {outcome.source}")
