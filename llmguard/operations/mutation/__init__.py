"""Errors planted into values that are right, to learn which of them schema and checks would catch.

Reading order: `planting` (which errors, where), `kinds` (how each is made), `shapes` (what the schema says of a place),
`report` (what was caught, and by whom).
"""

from llmguard.operations.mutation.mutant_generation import MAX_MUTANTS, Mutant, mutants
from llmguard.operations.mutation.report import SCHEMA, Objections, Report, Tried, objections_to

__all__ = ["MAX_MUTANTS", "SCHEMA", "Mutant", "Objections", "Report", "Tried", "mutants", "objections_to"]
