"""The outcome store on SQLite.

Read `tables`, then `store`, then `writer`.
"""
