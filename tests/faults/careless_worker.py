"""The product's worker with a mistake: however many pixels a picture has, it decodes them."""

from typing import Any

from gdwatch import decode, worker
from tests.faults.crash_at import replace


def start() -> None:
    """In a run: have this module where the product starts its worker."""

    def wrapped(original: Any) -> Any:
        def child(module: str, *given: Any) -> Any:
            return original(__name__ if module == "gdwatch.worker" else module, *given)

        return child

    replace("gdwatch.decoding:Child", wrapped)


def main() -> None:
    decode._require_few_pixels = lambda *_: None
    worker.main()


if __name__ == "__main__":
    main()
