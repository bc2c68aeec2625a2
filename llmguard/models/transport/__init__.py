"""HTTP for adapters: one request, a deadline that holds at each read, a limit on the size of the reply.

Read `exchange` (a reply as it arrived), `failures` (error replies as `ModelFailure`) and `waits` (how long a server asks to
wait), `sockets` and `clients` (how the deadline and the limit are kept) with `names` (addresses), `connection_pool` (connections
kept without a lock) and `background` (what cannot be stopped). `http_libraries` picks httpx or httpx2.
"""
