"""Values that a model wrote as text: each read where the text has one reading, rejected where it may have two.

Replies, votes and the grounding checks all read by this one package. Reading order: `rejection` (why a text is not read), `units`
(the table of units and currencies), `numbers`, `dates`, `words` (likeness of members and names, yes and no).
"""
