"""Explanatory panels: a photograph with its face box, what the model saw, and a heat map."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from gdwatch.decode.reduce import Pixels, Reduction, view
from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.inference import crop, model, model_file
from gdwatch.inference.coordinates import photograph_to_slot
from gdwatch.inference.detection import overlap
from gdwatch.inference.finder import Finder
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import layout
from gdwatch.jobs.contained import ContainedDecoder
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.two_inputs import TwoInputClassifier
from gdwatch.settings import Settings
from gdwatch.values import Box, Decision, Judged, Refusal

_LEAST = 1024  # pixels of the longer side kept for the panel, if the model sees the whole picture
_SIDE = 288  # pixels, of each picture
_GAP = 8
_TEXT = 36  # pixels, the height of the caption
_BOX = (255, 200, 0)
_SAFE = re.compile(r"[^\w.-]+", re.ASCII)


class Explainer:
    """Writes panels into a folder, as PNG files.

    complain: called with the path of a picture that cannot be decoded again, and the reason.

    Raises GdwatchError if the folder cannot be created, ActionNeeded if the model cannot be used.
    """

    def __init__(
        self, settings: Settings, folder: Path, complain: Callable[[bytes, str], None]
    ) -> None:
        files = model_file.read_models(settings.model, settings.crop)
        self._seers = {file.sha256: Seer(model.load(file)) for file in files}
        self._layout = layout([file.details for file in files], settings.crop)
        self._folder = folder
        self._complain = complain
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GdwatchError(f"{folder}: {error.strerror}", "name another folder") from error
        # The panel shows the picture's own aspect ratio, even if the model sees it squeezed.
        shown = Reduction(_LEAST, whole=False) if self._layout.whole else self._layout
        self._decoder = ContainedDecoder(settings, shown)

    def close(self) -> None:
        """End the process that decodes."""
        self._decoder.close()

    def panel(self, number: int, judged: Judged) -> Path | None:
        """Write the panel of a picture; returns its path, or None if it cannot be decoded.

        number: the input's number, which keeps equal names apart.

        Raises GdwatchError if the panel cannot be written.
        """
        if isinstance(judged.decoded, Refusal):
            return None
        photo = self._decoder.decode(judged.opened)
        if isinstance(photo, Refusal):
            why = photo.detail or photo.reason
            self._complain(judged.opened.drop.path, f"not explained: {why}")
            return None
        box, header = judged.decision.box, judged.decoded.header
        if box is not None:
            box = photograph_to_slot(
                box, (header.width, header.height), (photo.shape[1], photo.shape[0])
            )
        seer = self._seers[judged.model.sha256]
        pictures = [_outlined(Image.fromarray(photo), box)]
        square = view(photo, self._layout) if self._layout.whole else seer.square(photo, box)
        looks_around = seer.looks_around(box)
        if box is not None or not looks_around:
            heat = seer.evidence(square)
            pictures += [Image.fromarray(square), _with_heat_map(square, heat)]
        if looks_around:
            pictures.append(Image.fromarray(crop.surroundings(photo, box)))
        caption = _caption(judged.decision, f"{judged.model.name} {judged.model.version}")
        panel = _side_by_side(pictures, caption)
        name = escaping.escape(judged.opened.drop.path.rpartition(b"/")[2])
        path = self._folder / f"{number + 1:05d}-{_SAFE.sub('_', name)[:100]}.png"
        try:
            panel.save(path)
        except OSError as error:
            raise GdwatchError(f"{path}: {error.strerror}", "make room") from error
        return path


class Seer:
    """What one model sees of a photograph, and where it looks."""

    def __init__(self, loaded: Model) -> None:
        self._classifier = loaded.classifier
        self._preprocessing = loaded.details.preprocessing
        self._side = loaded.details.classifier.input
        self._gradients = LayerGradCam(_MaleLogit(self._classifier), self._classifier.evidence)
        self._finder: Finder | None = None
        if self._preprocessing.upright and loaded.locator is not None:
            self._finder = Finder(loaded, torch.device("cpu"), torch.float32)

    def looks_around(self, box: Box | None) -> bool:
        """Return whether the surroundings count, beside a face or where there is none."""
        if not isinstance(self._classifier, TwoInputClassifier):
            return False
        size = 0.0 if box is None else max(box.width, box.height)
        return bool(self._classifier.looks_around(torch.tensor([size])))

    def evidence(self, square: Pixels) -> NDArray[np.float32]:
        """The heat map of the pixels that support the answer (Grad-CAM, Selvaraju et al. 2017).

        square: uint8 (side, side, 3), RGB, the classifier's input.

        Returns float32 (side, side), scaled to 0 to 1; all 0 if no pixel supports the answer.
        """
        photo = torch.from_numpy(square.copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            sign = 1.0 if float(self._classifier(photo)[0, 0]) >= 0 else -1.0
        heat = self._gradients.attribute(photo) * sign
        heat = LayerAttribution.interpolate(heat, square.shape[:2], "bilinear")
        positive: NDArray[np.float32] = heat[0, 0].clamp(min=0).detach().numpy()
        return positive / positive.max() if positive.max() > 0 else positive

    def square(self, photo: Pixels, box: Box | None) -> Pixels:
        """The classifier's input, cropped as in the service: uint8 (side, side, 3), RGB.

        photo: uint8 (H, W, 3), RGB. box: the face in pixels of `photo`.
        """
        if box is None:
            return crop.around(photo, self._side)
        margin = self._preprocessing.margin or 1.0
        if self._finder is None:
            return crop.face(photo, box, margin, self._side)
        # The ledger keeps no tilt, so the face is looked for again.
        (faces,), _ = self._finder.find([photo])
        same = max(faces, key=lambda face: overlap(face.box, box), default=None)
        tilt = 0.0 if same is None else same.tilt
        return crop.upright(photo, box, tilt, margin, self._side)


class _MaleLogit(nn.Module):
    """A classifier with the logit of `male` alone for its output, as Grad-CAM wants it."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, photos: Tensor) -> Tensor:
        return self.classifier.forward(photos)[:, :1]


def _outlined(photo: Image.Image, box: Box | None) -> Image.Image:
    scale = _SIDE / max(photo.size)
    shown = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
    if box is not None:
        corners = (box.x, box.y, box.x + box.width, box.y + box.height)
        ImageDraw.Draw(shown).rectangle([value * scale for value in corners], outline=_BOX, width=3)
    return shown


def _with_heat_map(square: Pixels, heat: NDArray[np.float32]) -> Image.Image:
    """The crop in grey, with the heat map, float32 (side, side), blended in as red."""
    grey = np.asarray(Image.fromarray(square).convert("L"), np.float32)[:, :, None] * 0.6
    red = np.array([255.0, 48.0, 0.0], np.float32)
    mixed = grey + (red - grey) * (0.75 * heat[:, :, None])
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def _caption(decision: Decision, model: str) -> str:
    answer = f"{decision.outcome}, {decision.reason}" if decision.reason else decision.outcome
    faces = "" if decision.faces is None else f"   faces {decision.faces}"
    return f"{answer}   p(male) {decision.p_male:.3f}{faces}   {model}"


def _side_by_side(pictures: list[Image.Image], text: str) -> Image.Image:
    width = len(pictures) * (_SIDE + _GAP) + _GAP
    panel = Image.new("RGB", (width, _SIDE + 2 * _GAP + _TEXT), "white")
    for number, picture in enumerate(pictures):
        scale = _SIDE / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        shown = picture if number == 0 else picture.resize(size)
        panel.paste(shown, (_GAP + number * (_SIDE + _GAP), _GAP))
    font = ImageFont.load_default(20)
    ImageDraw.Draw(panel).text((_GAP, _SIDE + 2 * _GAP), text, fill="black", font=font)
    return panel
