"""gdwatch sorts photographs of faces dropped into a folder, and records every decision.

Read `values` first, then `service` and `pipeline`: every stage stands there once, in order.
"""

__version__ = "0.1.0"
