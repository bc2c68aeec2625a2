"""Output schemas: a JSON Schema or a Python type, compiled to validate values, explain violations, salvage and re-ask.

Reading order: `compiled` (the entry), `keywords` (the drafts) and `navigate` (the one walker of schemas); `references` (files
to one document), `lint` (what is refused and warned of), `verdicts` and `explain` (whether and why a value does not fit) with
`alternatives` and `words`; `types` (pydantic), `parts` (salvage and failed parts), `form` (the instruction for the model),
`applicable` (what may apply to a part of a value), `diff` and `changes` (two schemas), `providers` and
`strict_form` (strict decoding).
"""

from llmguard.schema.compiled import (
    Schema,
    compile_schema,
    describe_schema,
    failed_part,
    from_description,
    merged,
    salvage_value,
    with_any_other_property,
)

__all__ = [
    "Schema",
    "compile_schema",
    "describe_schema",
    "failed_part",
    "from_description",
    "merged",
    "salvage_value",
    "with_any_other_property",
]
