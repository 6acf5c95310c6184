"""`python -m treeline`: the command `treeline`, where its script is not on the PATH."""

from treeline.cli.main import main

if __name__ == "__main__":
    main()
