"""How a guarded call is decided, without I/O.

Read `call` first, then `attempt`, `vote` (recorded by `vote_record`), `effect_checks`, `fallback`, `acceptance`, `audit`.
"""
