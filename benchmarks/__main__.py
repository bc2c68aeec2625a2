"""`make bench`: all figures, one after the other."""

from benchmarks import imports, overhead

for part in (imports, overhead):
    part.main()
