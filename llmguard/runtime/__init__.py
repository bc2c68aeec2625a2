"""Perform effects: the only package that knows sync from async.

A driver sends a flow its answers until it returns. It keeps the deadline, evaluates waits, runs users' functions where
they belong, and passes every answer to the recorder before the flow receives it. Read `sync_driver`, then `execution`.
"""
