"""The commands of `gdtrain`, one module for each phase: options in, results printed."""
