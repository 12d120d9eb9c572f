"""The command `gdtrain`. Kept apart from `cli` so that it can be imported and run alike."""

from train.cli import main

if __name__ == "__main__":
    main()

__all__ = ["main"]
