"""`make bench`: all figures, one after the other."""

from benchmarks import imports, linear, overhead, parsing, streaming

for part in (overhead, imports, parsing, streaming, linear):
    print(f"\n--- {part.__name__.rpartition('.')[2]}: {(part.__doc__ or '').splitlines()[0]}", flush=True)
    part.main()
