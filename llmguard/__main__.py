"""`python -m llmguard`: the same as the command `llmguard`."""

from llmguard.cli import main

if __name__ == "__main__":
    main()
