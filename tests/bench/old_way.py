"""The old way: open, convert, resize, normalise and classify one picture after the other.

The network and the transforms of the program that gdwatch replaces, two threads, a JSON at the end.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms

from gdwatch.inference import model, model_file
from gdwatch.networks.seed_classifier import SeedClassifier
from tests.bench.loop import serve
from train.export.import_seed import import_seed
from train.fitting import recipe as recipes

THREADS = 2


def main(photographs: Path, answers: Path, weights: Path | None = None) -> None:
    """Without the published weights it answers at random, in the same time."""
    torch.set_num_threads(THREADS)
    recipe = recipes.read("seed")
    network = SeedClassifier(**recipe.arguments, mean=recipe.mean, std=recipe.std).eval()
    if weights is not None:
        file = answers.with_suffix(".safetensors")
        import_seed(weights, file)
        network.load_state_dict(model.load(model_file.read(file)).classifier.state_dict())
    transform = transforms.Compose(
        [
            transforms.Resize((recipe.input, recipe.input)),
            transforms.ToTensor(),
            transforms.Normalize(recipe.mean, recipe.std),
        ]
    )

    def job() -> None:
        found = {}
        for path in sorted(photographs.iterdir()):
            tensor = transform(Image.open(path).convert("RGB")).unsqueeze(0)
            with torch.no_grad():
                scores = network.head(network.hidden(network.features(tensor)))
            found[path.name] = ("female", "male")[int(scores.argmax())]
        answers.write_text(json.dumps(found))

    serve(job)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
