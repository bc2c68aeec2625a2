"""Language models behind one protocol, `Model`, and what an adapter for another provider needs (docs/adapters.md).

Read in this order: `llmguard.core.model` (the protocol, `ModelDefaults`, `WrappedModel`), `registry` (names to models),
`scripted` and `function` (models without a server), `openai` (the adapter) over `transport` (HTTP with a deadline and a
size limit). `local` runs a small model on this machine, `network_guard` blocks requests in tests, `token_counts` counts.
Importing these modules loads neither the SDK nor an HTTP library: that happens at the first request.
"""

from __future__ import annotations

from llmguard.core.model import Model, ModelDefaults, WrappedModel

__all__ = ["Model", "ModelDefaults", "WrappedModel"]
