"""ISIC 2018 Task 3: the diagnosis of skin lesions in dermoscopic images (Codella et al., arXiv:1902.03368).

10015 JPEG images of 600 x 450 pixels, the HAM10000 collection (Tschandl et al., 2018), of seven diagnoses in the official
order: melanoma 1113, naevus 6705, basal cell carcinoma 514, actinic keratosis 327, benign keratosis 1099, dermatofibroma
115, vascular lesion 142. Many lesions were photographed more than once.
"""

import csv
from collections import Counter
from pathlib import Path

from ..errors import BadInput
from .base import RawCase, check_options
from .classified import Classified, pictures
from .phantoms import lesions
from .phantoms.photographs import save

IMAGES, TRUTH = "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"
TABLE = f"{TRUTH}/{TRUTH}.csv"
LESIONS = "ISIC2018_Task3_Training_LesionGroupings.csv"


class ISIC2018Cls(Classified):
    """A group is a lesion: two images of one must not stand on both sides of a split."""

    name = "isic2018-cls"
    classes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``: every image has one diagnosis and one lesion, every diagnosis its image."""
        raw, by_hand = Path(raw), by_hand or "put the raw data there"
        if not (raw / IMAGES).is_dir():
            raise BadInput(f"no {IMAGES} in {raw}: {by_hand}")
        files = pictures(raw / IMAGES, by_hand)
        targets, lesion_of = self._targets(raw / TABLE, by_hand), _lesions(raw / LESIONS, by_hand)
        _together(files, targets, f"no row in {raw / TABLE} for the image", "get the table again, or move the image away")
        _together(targets, files, f"no image in {raw / IMAGES} for the row", "get the images again, or remove the row")
        _together(files, lesion_of, f"no lesion in {raw / LESIONS} for the image", "get the list again, or move the image away")
        return ".", [RawCase(case, lesion_of[case], {"image": files[case]}, targets[case]) for case in sorted(files)]

    def _targets(self, table: Path, by_hand: str) -> dict[str, int]:
        targets = {}
        for case, row in _rows(table, ("image", *self.classes), by_hand):
            ones = [row[name] for name in self.classes]
            try:
                numbers = [float(one) for one in ones]
            except ValueError:
                numbers = []
            if sorted(numbers) != [0.0] * (len(self.classes) - 1) + [1.0]:
                raise BadInput(f"row {', '.join(ones)} of {case} in {table}: one 1 and else 0 are needed; get the table again")
            targets[case] = numbers.index(1.0)
        return targets

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` synthetic images of ``shape`` (H, W) drawn from ``seed``, with both tables."""
        check_options(options, ("cases", "shape", "seed"), f"the phantom of {self.name}")
        diagnoses, groups, views = [], [], Counter()
        for index, (lesion, target) in enumerate(lesions.choose(options["cases"], options["seed"])):
            case = f"ISIC_{index:07d}"
            image = lesions.draw(options["seed"], lesion, views[lesion], target, tuple(options["shape"]))
            save(Path(folder) / IMAGES / f"{case}.jpg", image)
            diagnoses.append([case, *(f"{float(number == target)}" for number in range(len(self.classes)))])
            groups.append([case, f"HAM_{lesion:07d}"])
            views[lesion] += 1
        _write(Path(folder) / TABLE, ("image", *self.classes), diagnoses)
        _write(Path(folder) / LESIONS, ("image", "lesion_id"), groups)


def _lesions(table: Path, by_hand: str) -> dict[str, str]:
    found = {}
    for case, row in _rows(table, ("image", "lesion_id"), by_hand):
        found[case] = row["lesion_id"].strip()
        if not found[case]:
            raise BadInput(f"no lesion_id of {case} in {table}: get the list again")
    return found


def _rows(table: Path, columns: tuple[str, ...], by_hand: str):
    """Yield image name and row; columns beyond ``columns`` may follow them."""
    names = set()
    try:
        with open(table, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            header = tuple(reader.fieldnames or ())
            if header[: len(columns)] != columns:
                raise BadInput(f"columns {', '.join(header)} in {table}: {', '.join(columns)} are expected; get the file again")
            if len(set(header)) < len(header):  # the last of them would count
                raise BadInput(f"two columns of one name in {table}: get the file again")
            for row in reader:
                if None in row or None in row.values():
                    raise BadInput(f"line {reader.line_num} cut short or too long in {table}: get the file again")
                if row["image"] in names:
                    raise BadInput(f"two rows for {row['image']} in {table}: remove one of them")
                names.add(row["image"])
                yield row["image"], row
    except FileNotFoundError as error:
        raise BadInput(f"no {table.name} in {table.parent}: {by_hand}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"unreadable table {table} ({error}): get the file again") from error


def _together(these, those, what: str, mend: str) -> None:
    alone = [case for case in these if case not in those]
    if alone:
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        raise BadInput(f"{what} {alone[0]}{more}: {mend}")


def _write(file: Path, header, rows: list) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, lineterminator="\n").writerows([header, *rows])
