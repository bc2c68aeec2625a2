"""The adapter for OpenAI and for servers that speak its API.

Read `model` first.
"""
