"""Values that a model wrote as text: each read where the text has one reading, rejected where it may have two.

Reading order: `rejection` (why a text is not read), `numbers`, `dates`, `words` (members of a choice, yes and no, names of
properties).
"""
