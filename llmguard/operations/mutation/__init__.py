"""Mutation testing of a guard's checks: errors put into accepted values, to learn which of them schema and checks catch.

Reading order: `mutation_run` (which outcomes), `mutant_generation` (which errors, and where), `mutation_operators` (how
each kind of error is made), `report` (what was caught, and by which check).
"""

from llmguard.operations.mutation.mutant_generation import MAX_MUTANTS, Mutant, mutants
from llmguard.operations.mutation.mutation_run import MutationReport, mutate
from llmguard.operations.mutation.report import SCHEMA, MutationCounts, Objections, TestedMutant, objections_to

__all__ = [
    "MAX_MUTANTS",
    "SCHEMA",
    "Mutant",
    "MutationCounts",
    "MutationReport",
    "Objections",
    "TestedMutant",
    "mutants",
    "mutate",
    "objections_to",
]
