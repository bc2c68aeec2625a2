"""HTTP for adapters: one request, a deadline that holds at each read, a limit on the size of the reply.

Read `exchange` (a reply as it arrived), `failures` (error replies as `ModelFailure`), `sockets` and `clients` (how the
deadline and the limit are kept). `http_libraries` picks httpx or httpx2.
"""
