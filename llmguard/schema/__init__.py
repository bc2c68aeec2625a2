"""Output schemas: from a JSON Schema or a Python type to what judges values, explains, salvages and asks again.

Reading order: `compiled` (the whole), `references` (files to one document), `lint` (what is refused), `explain` (why a
value does not fit), `types` (pydantic), `parts` (salvage and failed parts), `form` (the instruction), `words`, `keywords`.
"""

from llmguard.schema.compiled import (
    Schema,
    compile_schema,
    describe_schema,
    failed_part,
    from_description,
    merged,
    salvage_value,
)

__all__ = ["Schema", "compile_schema", "describe_schema", "failed_part", "from_description", "merged", "salvage_value"]
