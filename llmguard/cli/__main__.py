"""`python -m llmguard.cli` is `llmguard`."""

from llmguard.cli import main

if __name__ == "__main__":
    main()
