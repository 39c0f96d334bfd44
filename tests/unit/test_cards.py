"""The card of a data set: its numbers, samples and warnings, and the two files that it is written to."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from card_results import FACTS, FILE, FOLDS, SHAPE, hearts, large, scan
from class_results import CLASSES, class_plan, write_images, write_subsets
from PIL import Image
from semimed.errors import BadInput
from semimed.files import write_json
from semimed.reporting import card_data
from semimed.reporting.card_pictures import draw_sample
from semimed.reporting.cards import describe, write_card
from semimed.reporting.page import write_report


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_numbers_are_those_of_cases_and_splits(tmp_path):
    small = np.zeros((1, 4, 10, 6), np.float32)
    small[0, 0, 0, 0] = 7
    card = describe(hearts(tmp_path, c05=(small, None)), "la")
    (facts,) = card.preparations
    assert (facts.cases, facts.groups, facts.unannotated) == (12, 6, 1)
    assert facts.sizes == ((4, 8, 8), (10, 10, 10), (6, 6, 6)) and facts.spacing == ((1, 1, 1), (0.5, 0.5, 0.5), (2, 2, 2))
    voxels = sum(n % 9 + 2 for n in range(12) if n != 5)
    assert [(kind.name, kind.cases) for kind in facts.classes] == [("background", 11), ("left atrium", 11)]
    assert facts.classes[1].share == pytest.approx(voxels / (11 * 480)) and facts.classes[0].share + facts.classes[1].share == 1
    (study,) = card.studies
    told = {s.name: (s.cases, s.groups, s.cases_range, s.groups_range, s.classes) for s in study.subsets}
    assert list(told) == ["train", "test", "labelled at 1", "labelled at 100%"]
    assert told == {
        "train": (8, 4, (8, 8), (4, 4), None),
        "test": (4, 2, (4, 4), (2, 2), None),
        "labelled at 1": (2, 1, (2, 2), (1, 1), None),
        "labelled at 100%": (8, 4, (8, 8), (4, 4), None),
    }
    assert (study.fold, study.folds, study.split["unit"]) == (0, 2, "group")


def test_the_range_over_folds_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(FOLDS, 1, (5, 12))
    (study,) = describe(hearts(tmp_path), "la").studies
    assert [(s.cases, s.cases_range, s.groups_range) for s in study.subsets[:2]] == [(8, (5, 8), (3, 4)), (4, (4, 7), (2, 4))]


def test_samples_train_in_every_study_and_go_from_the_smallest_to_the_largest_annotation(tmp_path):
    plan = hearts(tmp_path, studies=("one", "two"), c07=(scan(7)[0], None))
    first = Path(plan.study("two").split(0))
    first.write_text(Path(plan.study("two").split(1)).read_text())  # tests c06 to c09, the other study c08 to c11
    card = describe(plan, "la")
    assert [sample.case.case for sample in card.samples] == ["c00", "c02", "c03", "c05"]
    assert [sample.reason.split()[0] for sample in card.samples] == ["smallest", "lower-middle", "upper-middle", "largest"]
    write_subsets(first, {f"c{n:02d}": f"p{n // 2}" for n in range(12)}, train=["c09", "c10"], test=["c00"])
    assert describe(plan, "la").samples == []


def test_a_volume_is_shown_where_its_annotation_is_largest_without_and_with_its_outline(tmp_path):
    (sample, *_), (png, told) = (s := describe(hearts(tmp_path), "la").samples), draw_sample(s[0], "slices")
    image, colours = pixels(png), np.ptp(pixels(png), axis=2)
    left, right = image[:, : image.shape[1] * 45 // 100], image[:, image.shape[1] * 55 // 100 :]
    assert np.ptp(left, axis=2).max() == 0 and left.std() > 20
    outline = (right[..., 0] > 180) & (right[..., 1] > 180) & (right[..., 2] < 140)
    assert outline.sum() > 50 and colours.max() > 60
    assert told == f"{sample.case.case}: 0.42% of the volume annotated, slice 4 of 8"


ODD = {
    "one subset": ({"c01": scan(3)}, r"^2 cases have .* as another \(0 of 1 .*\): c01 = c03; no study has copies in more"),
    "two annotations": ({"c01": (scan(3)[0], scan(9)[1])}, r"\(1 of 1 images annotated in more than one way\): c01 = c03;"),
    "two subsets": ({"c09": scan(3)}, r"one: identical images in more than one subset: 1 in fold 0, 1 in fold 1, such as c03"),
    "near-empty": (
        {"c04": large(31), "c05": large(32)},
        r"1 cases .* \(under 0.05% of the voxels, 0 of them empty\): c04\.",
    ),
    "empty": ({"c04": scan(4, 0)}, r"1 of them empty\): c04\."),
    "constant": (
        {"c02": (np.full((1, *SHAPE), 3, np.float32), scan(2)[1])},
        r"1 of 12 cases looked at have one intensity .*: c02\.",
    ),
    "rare": ({f"c{n:02d}": (scan(n)[0], None) for n in range(3)}, r"Classes in fewer than 10 cases: left atrium \(9\)\."),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_warned_of_in_a_line(odd, tmp_path):
    arrays, wanted = ODD[odd]
    warnings = describe(hearts(tmp_path, **arrays), "la").warnings
    assert sum(bool(re.search(wanted, line)) for line in warnings) == 1, warnings
    assert len(warnings) == (2 if odd == "two subsets" else 1) and all("\n" not in line for line in warnings)


def test_sound_data_have_no_warning_and_a_patient_in_two_subsets_has_one(tmp_path):
    plan = hearts(tmp_path)
    assert describe(plan, "la").warnings == []
    split = Path(plan.study("one").split(1))
    split.write_text(split.read_text().replace("c06,p3", "c06,p0"))
    assert describe(plan, "la").warnings == [
        "one: groups with cases in more than one subset: 1 in fold 1, such as p0 (test, train)."
    ]


def test_intensities_are_sampled_without_bias_from_at_most_200_cases(tmp_path, monkeypatch):
    # The value is the number of the row: places at even distances would be the first rows of every few slices.
    rows = np.ascontiguousarray(np.broadcast_to(np.arange(64, dtype=np.float32)[:, None], (1, 64, 64, 64)))
    plan = hearts(tmp_path, c00=(rows, None))
    loaded, load = [], card_data.load_image
    monkeypatch.setattr(card_data, "load_image", lambda case, mmap: loaded.append((case.case, mmap)) or load(case, mmap=mmap))
    monkeypatch.setattr(card_data, "LOOKED_AT", 2)
    found = describe(plan, "la").preparations[0].intensities
    assert loaded == [("c00", True), ("c11", True)] and (found.cases, found.of) == (2, 12)
    means = [rows.ravel()[card_data._sampled(rows.size, seed)].mean() for seed in range(40)]
    assert np.mean(means) == pytest.approx(31.5, abs=3) and len(card_data._sampled(rows.size, 0)) == 16384
    assert found.voxels == 16384 and found.shares.shape == (1, 64) and found.shares.sum() > 0.95


def test_the_page_loads_nothing_is_well_formed_and_says_where_files_are_from(tmp_path):
    plan = hearts(tmp_path, files=[FILE])
    write_card(plan, "la")
    html, markdown = [(Path(plan.results) / "data" / "la" / f"card.{ending}").read_text() for ending in ("html", "md")]
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html) and "<script" not in html
    assert "Hearts &lt;1 &amp; 2&gt;" in html and "<1 & 2>" not in html and "prefers-color-scheme: dark" in html
    open_tags = []

    class Check(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Check().feed(html)
    images = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]
    assert len(images) == 5 and not open_tags and all(pixels(image).std() > 5 for image in images)
    for text in (html, markdown):
        assert "may not be used commercially" in text and "SYNTHETIC" not in text
        assert "checked and unpacked by the workflow" in text
        assert FILE["urls"][0] in text and FILE["sha256"] in text and "1,234,567" in text and "https://example.org/a" in text
        assert str(tmp_path) not in text and "12, in 6 groups" in text and "labelled at 100%" in text


def test_a_phantom_is_called_synthetic_and_a_copy_a_copy(tmp_path):
    for phantom, words, absent in (
        (True, "SYNTHETIC", "a copy already"),
        (False, "a copy already on this machine", "SYNTHETIC"),
    ):
        plan = hearts(tmp_path / words[0], phantom=phantom)
        write_card(plan, "la")
        for path in Path(plan.results, "data", "la").glob("card.*"):
            text = path.read_text()
            assert words in text and absent not in text and ("commercially" in text) is not phantom


def test_classes_of_images_are_counted_and_each_has_a_picture(tmp_path):
    plan = class_plan(tmp_path)
    study, targets = plan.study("classes"), {f"i{n:02d}": n % 7 % 5 for n in range(70)}
    write_images(study.data, targets)
    names = list(targets)
    write_subsets(study.split(0), train=names[:50], test=names[50:])
    write_json(Path(study.data).with_name("source.json"), {"phantom": False, "layout": ".", "number": 70, **FACTS})
    card = describe(plan, "isic2018-cls")
    subsets = {subset.name: subset for subset in card.studies[0].subsets}
    assert subsets["train"].classes == tuple(np.bincount(list(targets.values())[:50], minlength=7))
    assert subsets["labelled at 20%"].classes == tuple(np.bincount(list(targets.values())[:10], minlength=7))
    assert [sample.reason for sample in card.samples] == list(CLASSES[:5])
    assert all(targets[s.case.case] == n and s.case.case in names[:50] for n, s in enumerate(card.samples))
    png, told = draw_sample(card.samples[0], "whole")
    number = names.index(told)
    assert pixels(png).shape == (32, 32, 3) and (pixels(png) == [number, number + 70, number + 140]).all()
    assert "Classes in fewer than 10 cases: DF (0), VASC (0)." in card.warnings
    assert card.preparations[0].spacing is None and len(card.preparations[0].intensities.shares) == 3


def test_the_report_shows_what_the_card_says_and_links_to_it(tmp_path):
    plan = hearts(tmp_path)
    report = Path(plan.results) / "report.html"
    write_report(list(plan.studies.values()), {}, report, "Title")
    assert "Data sets" not in report.read_text()
    write_card(plan, "la")
    write_report(list(plan.studies.values()), {}, report, "Title")
    text = report.read_text()
    assert '<h2 id="data-sets">Data sets</h2>' in text and 'href="data/la/card.html"' in text
    assert text.count("data:image/png;base64,") == 4 and "may not be used commercially" in text
    (Path(plan.results) / "data/la/card.html").write_text("<p>cut")
    with pytest.raises(BadInput, match=r"no summary in .*card\.html: delete it"):
        write_report(list(plan.studies.values()), {}, report, "Title")


SPOILED = {
    "results/data/la/source.json": ('{"phantom": false}', "no citation, layout, licence, number in .*source.json: delete it"),
    "results/splits/one/fold1.csv": ("case,group,subset,rank\nx,x,train,0\n", "case x of .*fold1.csv is not in .*cases.csv"),
    "results/data/la/phantom/c00.image.npy": ("", "damaged or missing array in .*c00.image.npy"),
}


@pytest.mark.parametrize("path", SPOILED)
def test_damaged_inputs_end_in_one_line_and_leave_no_card(path, tmp_path):
    plan, (text, wanted) = hearts(tmp_path), SPOILED[path]
    (tmp_path / path).write_text(text)
    with pytest.raises(BadInput, match=wanted):
        write_card(plan, "la")
    assert not list(Path(plan.results).rglob("*card*"))


def test_a_data_set_of_no_study_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no configured study on the data set 'lla'; did you mean 'la'"):
        describe(hearts(tmp_path), "lla")
