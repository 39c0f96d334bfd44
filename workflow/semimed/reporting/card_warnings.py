"""What to be wary of in a data set, one line each. For its card."""

from collections import defaultdict

from ..splits import Row
from ..store import Case
from .card_data import PreparationFacts

SMALL = 0.0005  # of the voxels: below it an annotation is called near-empty
FEW = 10  # cases: below it a class is called rare
NAMED = 3  # how many of what was found are named


def preparation_warnings(facts: PreparationFacts, cases: list[Case], task: str) -> list[str]:
    """Return what is odd in the prepared cases themselves: small annotations, rare classes, images of one intensity."""
    found = []
    if task == "segmentation":
        annotated = [case for case in cases if case.counts]
        small = [case.case for case in annotated if sum(case.counts[1:]) < SMALL * sum(case.counts)]
        empty = sum(not any(case.counts[1:]) for case in annotated)
        if small:
            told = f"under {SMALL:.2%} of the voxels, {empty} of them empty"
            found.append(f"{len(small)} cases with a near-empty annotation ({told}): {_some(small)}.")
    # The first class of a segmentation is the background.
    rare = [kind for kind in facts.classes[task == "segmentation" :] if kind.cases < FEW]
    if rare:
        found.append(f"Classes in fewer than {FEW} cases: {', '.join(f'{kind.name} ({kind.cases})' for kind in rare)}.")
    constant = facts.intensities.constant
    if constant:
        found.append(
            f"{len(constant)} of {facts.intensities.cases} cases looked at have one intensity everywhere: {_some(constant)}."
        )
    return found


def duplicate_warnings(cases: dict[str, Case], studies: dict[str, dict[int, list[Row]]]) -> list[str]:
    """Return which images occur more than once, and in which studies (name -> fold -> rows) on both sides of a split."""
    by_image = defaultdict(list)
    for case in cases.values():
        by_image[case.image_sha256].append(case)
    several = [twins for twins in by_image.values() if len(twins) > 1]
    if not several:
        return []
    same = [[case.case for case in twins] for twins in several]
    across = [line for name, folds in studies.items() for line in _across(name, folds, same)]
    # The other digest is of image and annotation.
    differ = sum(len({case.sha256 for case in twins if case.counts}) > 1 for twins in several)
    named = _some([" = ".join(names) for names in same], "; ")
    apart = "" if across else "; no study has copies in more than one subset"
    ways = f"{differ} of {len(same)} images annotated in more than one way"
    return [f"{sum(map(len, same))} cases have the same prepared image as another ({ways}): {named}{apart}.", *across]


def group_warnings(study: str, folds: dict[int, list[Row]]) -> list[str]:
    """Return which groups stand in more than one subset of a study."""
    found = {}
    for fold, rows in folds.items():
        subsets = defaultdict(set)
        for row in rows:
            subsets[row.group].add(row.subset)
        split = {group: sorted(several) for group, several in subsets.items() if len(several) > 1}
        found[fold] = [f"{group} ({', '.join(several)})" for group, several in split.items()]
    return _of_folds(f"{study}: groups with cases in more than one subset", found)


def _across(study: str, folds: dict[int, list[Row]], same: list[list[str]]) -> list[str]:
    found = {}
    for fold, rows in folds.items():
        subset = {row.case: row.subset for row in rows}
        inside = [[case for case in several if case in subset] for several in same]
        split = [several for several in inside if len({subset[case] for case in several}) > 1]
        found[fold] = [" = ".join(f"{case} ({subset[case]})" for case in several) for several in split]
    return _of_folds(f"{study}: identical images in more than one subset", found)


def _of_folds(what: str, found: dict[int, list[str]]) -> list[str]:
    """Return a line that counts what was found in each fold and names some of the first of them; none where nothing was."""
    found = {fold: names for fold, names in found.items() if names}
    if not found:
        return []
    counts = ", ".join(f"{len(names)} in fold {fold}" for fold, names in found.items())
    return [f"{what}: {counts}, such as {_some(next(iter(found.values())), '; ')}."]


def _some(names, separator: str = ", ") -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - NAMED
    return separator.join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
