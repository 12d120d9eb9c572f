"""The command `gdwatch`. Kept apart from `cli` so that `--help` imports next to nothing."""

from gdwatch.cli import main

if __name__ == "__main__":
    main()

__all__ = ["main"]
