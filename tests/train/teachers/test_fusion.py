import numpy as np

from train.teachers.fusion import Fusion


def test_small_faces_are_told_by_their_surroundings_and_large_ones_by_the_face() -> None:
    dice = np.random.default_rng(0)
    sizes = 2 ** dice.uniform(3, 8, 4000)
    male = dice.random(4000) < 0.5
    signal = np.where(male, 1.0, -1.0)
    clear = np.log2(sizes / 8) / 5  # how much of a face can be seen
    face = signal * 3 * clear + dice.normal(0, 1, 4000)
    surroundings = signal + dice.normal(0, 1, 4000)
    logits = np.stack((face, surroundings), 1)
    fusion = Fusion(logits[:2000], sizes[:2000], male[:2000])
    fused = fusion.logits(logits[2000:], sizes[2000:])
    right = [float(((said > 0) == male[2000:]).mean()) for said in (face[2000:], fused)]
    assert right[1] > right[0] + 0.02
    disagree = np.array([[2.0, -2.0], [2.0, -2.0]])
    small, large = fusion.logits(disagree, np.array([9.0, 200.0]))
    assert small < 0 < large
