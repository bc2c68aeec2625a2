"""What measures: figures of speed and memory, never a pass or a fail."""
