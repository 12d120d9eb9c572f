"""gdwatch sorts photographs of faces dropped into a folder, and records every decision.

Read `values` first, then `service.loop` and `pipeline.pipeline`: every stage stands there once.
"""

__version__ = "0.1.0"
