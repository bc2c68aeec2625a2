"""What a user builds: `guard.Guard` binds prompt, schema, checks, ladder, budget and log."""
