"""Class-aware patches of PLGCL (Basak and Yin, CVPR 2023, section 3.1): their statistics, and which are contrasted.

The paper says what makes a patch positive, the entropies nearest to the anchor's; which patches are looked at is our
reading: a grid of squares, and of each class a pool that shows the class. Whether a pool's slot is filled is a mask, so
shapes are fixed and nothing waits for a GPU; an empty slot repeats a filled one, or is black where a class has none, and is
never a key, but counts in the statistics of batch normalisation.

Shapes: K classes, M squares of all images, P slots of a class's pool, A anchors per class.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import BadInput

Similarity = Literal["entropy", "confidence", "cosine"]
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
FEWEST = 8  # patches of a pool whose class has a presence in fewer


@dataclass(frozen=True)
class Pool:
    """What may be contrasted of each class: statistics (K, P), attended patches (K, P, C, side, side).

    A slot that is not ``valid`` (K, P) repeats a patch of its class (any patch, if there is none): it keeps the shape, and
    is neither anchor nor key.
    """

    average: Tensor
    entropy: Tensor
    attended: Tensor
    valid: Tensor


def binary_entropy(value: Tensor) -> Tensor:
    """Return F(x) = -x ln x - (1 - x) ln(1 - x) (eq. 3), zero at 0 and 1; x is meant to be in [0, 1] up to rounding."""
    value = value.clamp(0, 1)
    return torch.special.entr(value) + torch.special.entr(1 - value)


def luminance(image: Tensor) -> Tensor:
    """Return the intensity (N, *S) of grey (N, 1, *S) or RGB (N, 3, *S) images."""
    if image.shape[1] == 1:
        return image[:, 0]
    red, green, blue = image.unbind(1)
    return LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue


def cut(maps: Tensor, side: int) -> Tensor:
    """Return the squares (M, C, side, side) of maps (B, C, H, W), image by image and row by row, without overlap.

    What is left at the right and lower edge is dropped. Raises ``BadInput`` where not one square fits.
    """
    batch, channels, *shape = maps.shape
    rows, columns = (axis // side for axis in shape)
    if not rows * columns:
        raise BadInput(f"hyperparameters.patch {side} is larger than recipe.patch {shape}: make it smaller")
    maps = maps[:, :, : rows * side, : columns * side].reshape(batch, channels, rows, side, columns, side)
    return maps.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)


def statistics(image: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """Return Avg (eq. 1) and Ent (eq. 2), (K, M) each, of patches (M, C, side, side) and confidences (M, K, side, side).

    The attended intensity is the image's luminance in [0, 1] times the class's confidence.
    """
    attended = luminance(image).unsqueeze(1) * confidence
    return confidence.mean((2, 3)).T, binary_entropy(attended).mean((2, 3)).T


def draw_pool(image: Tensor, confidence: Tensor, side: int, slots: int, presence: float) -> Pool:
    """Return up to ``slots`` patches per class, drawn uniformly among those whose Avg is at least ``presence``.

    Images are (B, C, H, W), confidences (B, K, H, W). A class that has some, but fewer than eight of them, gets the eight
    with the highest Avg above 0; one that has none gets an empty pool.
    """
    image, confidence = cut(image, side), cut(confidence, side)
    average, entropy = statistics(image, confidence)
    present = average >= presence
    highest = torch.zeros_like(present).scatter(1, average.topk(min(FEWEST, average.shape[1])).indices, True)
    eligible = (present | (highest & (average > 0))) & present.any(1, keepdim=True)
    # Eligible patches come first, in random order; in place of the others the first ones are repeated.
    drawn = (torch.rand_like(average) + eligible).topk(min(slots, average.shape[1])).indices
    valid = eligible.gather(1, drawn)
    slot = torch.arange(drawn.shape[1], device=image.device)
    drawn = drawn.gather(1, slot % valid.sum(1, keepdim=True).clamp(min=1))
    classes = torch.arange(len(average), device=image.device).unsqueeze(1)
    attended = image[drawn] * confidence[drawn, classes].unsqueeze(2)
    return Pool(average.gather(1, drawn), entropy.gather(1, drawn), attended, valid)


def draw_anchors(pool: Pool, count: int, confident: float, presence: float) -> tuple[Tensor, Tensor]:
    """Return slots (K, A) of up to ``count`` anchors per class and which of them are valid (K, A).

    They are drawn without replacement in proportion to Avg among the slots whose Avg is at least ``confident``. Where
    these are too few (a thin class hardly covers half a patch) the highest Avg below it follow, of at least ``presence``.
    """
    eligible = pool.valid & (pool.average >= presence)
    # The largest of weight / Exp(1) are a sample without replacement in proportion to the weights; 1 + puts them first.
    drawn = 1 + pool.average / torch.empty_like(pool.average).exponential_()
    race = torch.where(pool.average >= confident, drawn, pool.average)
    anchors = race.masked_fill(~eligible, -1).topk(min(count, race.shape[1])).indices
    return anchors, eligible.gather(1, anchors)


def distances(pool: Pool, anchors: Tensor, similarity: Similarity) -> Tensor:
    """Return (K, A, K, P): how far each slot of every class is from each anchor (Table 3).

    ``entropy`` and ``confidence``: the absolute difference of Ent or of Avg; ``cosine``: minus the cosine between the
    attended patches as vectors (that of a black patch is 0).
    """
    if similarity == "cosine":
        vectors = F.normalize(pool.attended.flatten(2), dim=2)
        own = torch.take_along_dim(vectors, anchors.unsqueeze(2), 1)
        return -torch.einsum("kad,qpd->kaqp", own, vectors)
    value = pool.entropy if similarity == "entropy" else pool.average
    return (value.gather(1, anchors)[:, :, None, None] - value).abs()


def choose_keys(pool: Pool, anchors: Tensor, similarity: Similarity, positives: int, exclude_ambiguous: bool) -> Tensor:
    """Return (K, A, K, P): which slots are keys of which anchor.

    Of the anchor's own class its ``positives`` nearest other slots; of every other class all slots, with
    ``exclude_ambiguous`` without those that are the ``positives`` nearest of that class.
    """
    classes, slots = pool.valid.shape
    own = torch.eye(classes, dtype=torch.bool, device=anchors.device)[:, None, :, None]
    itself = own & (torch.arange(slots, device=anchors.device) == anchors[:, :, None, None])
    candidate = pool.valid & ~itself
    distance = distances(pool, anchors, similarity).masked_fill(~candidate, float("inf"))
    nearest = distance.topk(min(positives, slots), largest=False).indices
    near = torch.zeros_like(candidate).scatter(-1, nearest, True) & candidate
    return torch.where(own, near, candidate & ~near if exclude_ambiguous else candidate)
