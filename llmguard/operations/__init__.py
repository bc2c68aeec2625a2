"""What Python, the command line and pages do with a log. Each operation returns a dataclass."""
