"""gdwatch sorts photographs of faces dropped into a folder, and records every decision.

Read `values` first, then `service.loop` and `pipeline.pipeline`: every stage stands there once.

For programs there are `Classifier` and its `Answer`. Nothing else of this package is public: it may
change with any version.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdwatch.classifier import Answer, Classifier

__version__ = "0.1.0"
__all__ = ["Answer", "Classifier"]


def __getattr__(name: str) -> Any:
    """Import what is public when it is asked for: the commands and workers start without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gdwatch import classifier

    return getattr(classifier, name)
