"""Recorded calls in front of today's guard: what-if replay, and cases, which must hold for ever after.

Exact replay is a driver: `llmguard.runtime.recorded`.
"""
