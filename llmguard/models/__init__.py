"""The seam to language models: `openai` asks a server, `function` a function, `scripted` a script; `local` serves one.

A model has `name`, `runs_on`, `call` and `acall` (`llmguard.core.effects.Model`). Importing one of these modules loads neither
the SDK nor HTTP: that happens at the first request.
"""
