"""One reader of numbers and dates in text: strict, and refusing where two readings are possible."""
