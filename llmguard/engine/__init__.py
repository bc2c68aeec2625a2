"""How a guarded call is decided, without I/O.

Read `call` first, then `attempt`, `vote`, `effect_checks`, `fallback`, `acceptance`, `audit`.
"""
