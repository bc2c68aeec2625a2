"""Checks that ship with llmguard: grounding in the source text, and a judge, which is a guarded model call."""
