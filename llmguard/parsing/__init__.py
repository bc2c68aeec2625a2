"""From a reply's text to a value.

`syntax` finds candidate JSON, `coerce` fits a candidate to the schema, `stream` does both while the reply grows.
"""
