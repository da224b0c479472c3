"""`python -m fer COMMAND` does what `fer COMMAND` does."""

from fer.cli import main

if __name__ == "__main__":
    main()
