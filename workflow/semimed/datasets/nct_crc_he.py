"""NCT-CRC-HE-100K: tissue of colorectal cancer in haematoxylin-eosin stain (Kather et al., PLOS Medicine 2019).

100000 TIFF patches of 224 x 224 pixels at 0.5 micrometres, colours normalised, from 86 patients that no file tells apart.
Nine tissues: adipose 10407, background 10566, debris 11512, lymphocytes 11557, mucus 8896, smooth muscle 13536, normal
mucosa 8763, stroma 10446, adenocarcinoma epithelium 14317.
"""

from pathlib import Path

import numpy as np

from ..errors import BadInput, nearest
from .base import RawCase, check_options
from .classified import Classified, pictures
from .phantoms import tissue
from .phantoms.photographs import save

ROOT = "NCT-CRC-HE-100K"


class NCTCRCHE(Classified):
    """One folder per class, numbered alphabetically; PEFAT's lists number them in another order."""

    name = "nct-crc-he"
    classes = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")

    def find(self, raw: Path, by_hand: str = "") -> tuple[str, list[RawCase]]:
        """See ``DataSet.find``: exactly the nine folders, with files of their own class; the layout is the root, or ``.``."""
        raw, by_hand = Path(raw), by_hand or "put the raw data there"
        layout = ROOT if (raw / ROOT).is_dir() else "."
        root = raw / layout
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if layout == "." and not set(folders) & set(self.classes):
            raise BadInput(f"no {ROOT} in {raw}: {by_hand}")
        for name in folders:
            if name not in self.classes:
                raise BadInput(f"unknown class folder '{name}' in {root}{nearest(name, self.classes)}; move it away")
        cases = []
        for target, name in enumerate(self.classes):
            if name not in folders:
                raise BadInput(f"no class folder {name} in {root}: {by_hand}")
            for case, file in pictures(root / name, by_hand).items():
                if not case.startswith(f"{name}-"):
                    raise BadInput(f"name of another class than its folder's in {file}: its name must start with {name}-")
                cases.append(RawCase(case, case, {"image": file}, target))
        return layout, sorted(cases, key=lambda raw_case: raw_case.case)

    def write_phantom(self, folder: Path, options: dict) -> None:
        """Write ``cases`` synthetic patches of ``shape`` (H, W) drawn from ``seed``, the classes in turn."""
        check_options(options, ("cases", "shape", "seed"), f"the phantom of {self.name}")
        if options["cases"] < len(self.classes):
            raise BadInput(f"{options['cases']} cases in the phantom options of {self.name}: give at least {len(self.classes)}")
        for index in range(options["cases"]):
            target = index % len(self.classes)
            image = tissue.draw(np.random.default_rng([options["seed"], index]), target, tuple(options["shape"]))
            name = self.classes[target]
            save(Path(folder) / ROOT / name / f"{name}-{index:08d}.tif", image)
