"""`make bench`: all figures, one after the other."""

from benchmarks import forms, imports, linear, overhead, parsing, scoreboard, streaming

for part in (overhead, imports, parsing, streaming, linear, forms):
    print(f"\n--- {part.__name__.rpartition('.')[2]}: {(part.__doc__ or '').splitlines()[0]}", flush=True)
    part.main()
print(f"\n--- scoreboard: {(scoreboard.__doc__ or '').splitlines()[0]}", flush=True)
scoreboard.main([])
