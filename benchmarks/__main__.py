"""`make bench`: all figures, one after the other."""

from benchmarks import forms, imports, linear, overhead, parsing, scoreboard

for part in (imports, overhead, parsing, linear, forms):
    part.main()
scoreboard.main([])
