"""HTTP as every adapter needs it: one request, a deadline at each read, a limit of bytes."""
