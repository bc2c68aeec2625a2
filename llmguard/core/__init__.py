"""The nouns of llmguard and the one encoder.

Read `outcome`, what a call ends as; `effects`, what a call may ask of the world; `messages`, what is sent to a model.
"""
