"""FFHQ, CelebA and own folders in miniature: which pictures they find, with which values, and what they leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import train
from datasets import DATASETS
from datasets.attribute_table import TableError
from datasets.celeba import CelebA, read_celeba_attributes, read_mapping
from datasets.ffhq import FFHQ
from datasets.labelled_folder import LabelledFolder
from datasets.pictures import read_square
from models import NETWORKS
from models.domain import Domain
from utils.celeba import CELEBA_ATTRIBUTES
from utils.config import ConfigError, Section, load_config
from utils.paths import ROOT
from utils.photos import PhotoError

CELEBA = ROOT / "configs" / "celeba"


def save(path: Path, level: int = 0, size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


def domain_of(*outputs: str, side: int = 8) -> Domain:
    attributes = list(outputs[:2])
    config = {"name": "toy", "attributes": attributes, "classifier_outputs": list(outputs), "image_side": side}
    return Domain(Section(config))


def test_ffhq_is_split_by_number_wherever_the_pictures_lie(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("00000/00002.png", "00000/img00000010.jpg", "59999.png", "60000/60000.png", "69001.png"):
        save(tmp_path / name)
    assert [path.stem for path in FFHQ(str(tmp_path), side=8).paths] == ["00002", "img00000010", "59999"]
    assert "3 of the 60,000 pictures of the split 'train' are there" in capsys.readouterr().err
    assert [path.stem for path in FFHQ(str(tmp_path), "validation").paths] == ["60000", "69001"]
    assert [path.stem for path in FFHQ(str(tmp_path), "sdflow_test").paths] == ["69001"]
    assert len(FFHQ(str(tmp_path), "all", count=4)) == 4
    assert FFHQ(str(tmp_path), side=8)[0]["image"].shape == (3, 8, 8)
    with pytest.raises(ConfigError, match="split: must be one of .*'validation'.*, not 'valid'"):
        DATASETS.build(Section({"name": "ffhq", "folder": str(tmp_path), "split": "valid"}, "data"))
    save(tmp_path / "thumbnails/00002.png")
    with pytest.raises(ValueError, match="has the number of .*00002.png; name the folder of one size only"):
        FFHQ(str(tmp_path))
    save(tmp_path / "faces/a.png")
    with pytest.raises(ValueError, match="a.png: FFHQ's pictures are numbered"):
        FFHQ(str(tmp_path / "faces"))
    save(tmp_path / "few/3.png")
    with pytest.raises(FileNotFoundError, match="1 pictures, none of the split 'validation'"):
        FFHQ(str(tmp_path / "few"), "validation")


def test_squares_are_cut_before_they_are_reduced(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[:, :15] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_square(tmp_path / "a.png", 20)), pixels[:, 5:25])
    assert np.array_equal(np.asarray(read_square(tmp_path / "a.png", 10, (12, 4, 22, 14))), pixels[4:14, 12:22])
    with pytest.raises(PhotoError, match="a.png: 30 × 20 pixels, too small for the crop"):
        read_square(tmp_path / "a.png", 10, (0, 0, 10, 21))
    assert read_square(tmp_path / "a.png", 40).size == (40, 40)
    with pytest.raises(PhotoError, match="a.png: 30 × 20 pixels, too small: at least 21 a side are needed"):
        read_square(tmp_path / "a.png", 42)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(PhotoError, match="b.png: not a picture"):
        read_square(tmp_path / "b.png", 10)


def test_rows_and_pictures_that_lack_the_other_are_said_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x/a.png", "b.jpg", "c.png", "y/d.png", "z/d.png", ".thumbnails/c.png"):
        save(tmp_path / name, 255 if "a" in name else 0)
    table = tmp_path / "t.csv"
    table.write_text("file,New,Male\na.png,0.75,1\nb,,0\nd.png,1,1\nz/d.png,0.5,\ngone.png,1,1\n")
    data = LabelledFolder(domain_of("Male", "New"), str(tmp_path), str(table), mirror=True)
    said = capsys.readouterr().err
    assert "2 of its 5 pictures are not in" in said and "'d.png' is the first" in said  # d.png could be either
    assert "no values of 2 pictures" in said
    assert [path.name for path in data.paths] == ["a.png", "b.jpg", "d.png"] and len(data) == 6
    unknown = torch.nan
    values = torch.stack([data[index]["values"] for index in range(6)])
    expected = torch.tensor([[1.0, 0.75], [0, unknown], [unknown, 0.5]])
    torch.testing.assert_close(values, torch.cat([expected, expected]), equal_nan=True)
    labels = torch.stack([data[index]["labels"] for index in range(3)])
    torch.testing.assert_close(labels, torch.tensor([[1.0, 1], [0, unknown], [unknown, 0]]), equal_nan=True)
    assert torch.equal(data[0]["image"], torch.ones(3, 8, 8)) and data.attributes == ("Male", "New")
    table.write_text("file,New,Male\nq.png,0.75,1\n")
    with pytest.raises(FileNotFoundError, match=r"none of its 1 pictures \('q.png' is the first\).* has 5 others"):
        LabelledFolder(domain_of("Male", "New"), str(tmp_path), str(table))


def test_the_split_of_a_picture_depends_on_its_name_alone(tmp_path: Path) -> None:
    for number in range(60):
        save(tmp_path / f"{number}.png")

    def names(split: str, count: int) -> set[str]:
        (tmp_path / "t.csv").write_text("p,Male\n" + "".join(f"{number},1\n" for number in range(count)))
        data = LabelledFolder(domain_of("Male"), str(tmp_path), str(tmp_path / "t.csv"), split, 0.3)  # type: ignore[arg-type]
        return {path.stem for path in data.paths}

    train_names, held_out = names("train", 60), names("validation", 60)
    assert not train_names & held_out and len(train_names | held_out) == 60
    assert 8 <= len(held_out) <= 28 and names("validation", 40) == {n for n in held_out if int(n) < 40}


def celeba_folder(root: Path, names: list[str]) -> None:
    """A miniature with the true files' names, headers and irregular spacing."""
    lines = [str(len(names)), " ".join(CELEBA_ATTRIBUTES) + " "]
    parts = []
    for number, name in enumerate(names):
        values = [1 if (number + column) % 3 == 0 else -1 for column in range(40)]
        lines.append(f"{name} " + "".join(f"{value:3d}" for value in values) + " ")
        parts.append(f"{name} {(0, 0, 1, 2)[number % 4]}")
        save(root / "img_align_celeba" / name, 10 * number, (178, 218))
    (root / "list_attr_celeba.txt").write_text("\r\n".join(lines) + "\r\n")
    (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


NAMES = [f"{number:06d}.jpg" for number in range(1, 9)]


def test_celeba_lists_become_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    celeba_folder(tmp_path, NAMES)
    (tmp_path / "img_align_celeba" / NAMES[5]).unlink()
    domain = domain_of("Young", "Male", "Bald", side=16)
    pictures, labels = str(tmp_path / "img_align_celeba"), str(tmp_path / "list_attr_celeba.txt")
    partition = str(tmp_path / "list_eval_partition.txt")
    data = CelebA(domain, pictures, labels, "train", partition, crop=(12, 39, 164, 191))
    assert [path.name for path in data.paths] == [NAMES[0], NAMES[1], NAMES[4]]  # the sixth is not there
    assert "1 of its 8 pictures are not in" in capsys.readouterr().err
    columns = [CELEBA_ATTRIBUTES.index(name) for name in ("Young", "Male", "Bald")]
    for index, number in enumerate((0, 1, 4)):
        expected = [float((number + column) % 3 == 0) for column in columns]
        assert data[index]["values"].tolist() == expected == data[index]["labels"].tolist()
        assert data[index]["image"].shape == (3, 16, 16)
    for split, expected_names in (("validation", [NAMES[2], NAMES[6]]), ("test", [NAMES[3], NAMES[7]])):
        found = CelebA(domain, pictures, labels, split, partition)  # type: ignore[arg-type]
        assert [path.name for path in found.paths] == expected_names
    assert len(CelebA(domain, pictures, labels, "all")) == 7
    with pytest.raises(ValueError, match="name it as 'partition'"):
        CelebA(domain, pictures, labels, "test")


def as_csv(path: Path, form: str) -> str:
    """The same list as CSV, as Kaggle has it or as people's programs write it again; returns its path."""
    rows = [line.split() for line in path.read_text().splitlines()]
    if len(rows[0]) == 1:
        rows = [["image_id", *rows[1]], *rows[2:]]
    else:
        rows = [["image_id", "partition"], *rows]
    renamed = ["file", *("split" if cell == "partition" else cell for cell in rows[0][1:])]
    lines = {
        "kaggle": [",".join(row) for row in rows],
        "quoted": [", ".join(f'"{cell}"' for cell in row) for row in rows],
        "spreadsheet": ["\ufeff" + ";".join(rows[0]), *(";".join(row) for row in rows[1:]), ";" * (len(rows[0]) - 1)],
        "floats": [",".join(renamed), *(",".join([row[0], *(f"{cell}.0" for cell in row[1:])]) for row in rows[1:])],
        "numbered": [",".join(["" if index == 0 else str(index - 1), *row]) for index, row in enumerate(rows)],
    }[form]
    csv = path.with_suffix(f".{form}.csv")
    csv.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    return str(csv)


@pytest.mark.parametrize("form", ["kaggle", "quoted", "spreadsheet", "numbered", "floats"])
@pytest.mark.parametrize("both", [True, False])
def test_celeba_as_kaggle_has_it_gives_equal_items(tmp_path: Path, form: str, both: bool) -> None:
    celeba_folder(tmp_path, NAMES)
    (tmp_path / "img_align_celeba").rename(tmp_path / "inner")
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "inner").rename(tmp_path / "img_align_celeba/img_align_celeba")
    domain, pictures = domain_of("Young", "Male", "Bald"), str(tmp_path / "img_align_celeba")
    labels, partition = tmp_path / "list_attr_celeba.txt", tmp_path / "list_eval_partition.txt"
    for split in ("train", "validation", "test", "all"):
        expected = CelebA(domain, pictures, str(labels), split, str(partition))  # type: ignore[arg-type]
        forms = as_csv(labels, form), as_csv(partition, form) if both else str(partition)
        found = CelebA(domain, pictures, forms[0], split, forms[1])  # type: ignore[arg-type]
        assert found.paths == expected.paths and found.attributes == expected.attributes
        assert torch.equal(found.values, expected.values)


def test_pictures_without_a_row_or_a_split_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    celeba_folder(tmp_path, NAMES)
    labels = Path(as_csv(tmp_path / "list_attr_celeba.txt", "kaggle"))
    partition = Path(as_csv(tmp_path / "list_eval_partition.txt", "kaggle"))
    labels.write_text("\n".join(labels.read_text().splitlines()[:-3]))  # cut off
    partition.write_text("\n".join(partition.read_text().splitlines()[:-5]))
    data = CelebA(domain_of("Male"), str(tmp_path / "img_align_celeba"), str(labels), "train", str(partition))
    assert len(data) == 2
    said = capsys.readouterr().err
    assert "names no values of 3 pictures" in said
    assert "has no split for 2 pictures ('000004.jpg' is the first); they are left out" in said


def test_the_mapping_may_be_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "mapping.csv"
    path.write_text("idx,orig_idx,orig_file\n0,119613,119614.jpg\n1, 5, 000006.jpg\n")
    assert read_mapping(path) == {0: "119614.jpg", 1: "000006.jpg"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,Male\na.jpg,0\n", "line 2, column 'Male': '0' is neither 1 nor -1"),
        ("image_id,Male\na.jpg,1,1\n", "line 2: has 2 values for 1 attributes"),
        ("image_id,Malle\na.jpg,1\n", "line 1: no column for the attribute 'Male'; did you mean 'Malle'"),
        ("picture\na.jpg\n", "line 1: CelebA's list begins with"),
        ("image_id,Male\na.jpg," + "x" * 100_000 + "\n", "line 2, column 'Male': 'x+\\.\\.\\.x+' is neither"),
        ("", "line 1: CelebA's list begins with"),
    ],
)
def test_errors_of_a_csv_say_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(TableError, match=message) as caught:
        read_celeba_attributes(tmp_path / "list.csv", ("Male",))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("celeba_list", [True, False])
def test_celeba_hq_finds_labels_and_split_through_its_mapping(tmp_path: Path, celeba_list: bool) -> None:
    celeba_folder(tmp_path, NAMES)
    mapping = {0: NAMES[6], 1: NAMES[1], 2: NAMES[3]}
    rows = [f"{new}\t{int(name[:6]) - 1}    {name}" for new, name in mapping.items()]
    (tmp_path / "mapping.txt").write_text("\n".join(["idx  orig_idx   orig_file", *rows]))
    for new, suffix in zip(mapping, (".jpg", ".png", ".jpg"), strict=True):
        save(tmp_path / "hq" / f"{new}{suffix}")
    labels = tmp_path / "list_attr_celeba.txt"
    if not celeba_list:  # CelebAMask-HQ-attribute-anno.txt
        lines = labels.read_text().splitlines()
        own = [lines[1 + int(name[:6])].replace(name, f"{new}.jpg ") for new, name in mapping.items()]
        labels = tmp_path / "anno.txt"
        labels.write_text("\n".join(["3", lines[1], *own]))
    files = {"mapping": str(tmp_path / "mapping.txt"), "partition": str(tmp_path / "list_eval_partition.txt")}
    domain = domain_of("Male", "Young")
    for split, new in (("validation", 0), ("train", 1), ("test", 2)):
        data = CelebA(domain, str(tmp_path / "hq"), str(labels), split, **files)  # type: ignore[arg-type]
        assert [path.stem for path in data.paths] == [str(new)]
        row = int(mapping[new][:6]) - 1
        expected = [float((row + CELEBA_ATTRIBUTES.index(name)) % 3 == 0) for name in ("Male", "Young")]
        assert data[0]["values"].tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("8\n", ""), "line 1: CelebA's list begins with the number of its pictures.* CSV is labelled_folder"),
        (("8\n", "9\n"), "line 1: says 9 pictures, but 8 follow; was the file cut off"),
        ((" Young", ""), "line 2: no column for the attribute 'Young'"),
        (("000003.jpg  -1", "000003.jpg  0"), "line 5, column '5_o_Clock_Shadow': '0' is neither 1 nor -1"),
        (("000003.jpg  -1", "000003.jpg  "), "line 5: has 39 values for 40 attributes"),
        (("000003.jpg", "000002.jpg"), "line 5: '000002.jpg' is also in line 4"),
    ],
)
def test_errors_of_celeba_lists_say_where(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    celeba_folder(tmp_path, NAMES)
    path = tmp_path / "list_attr_celeba.txt"
    before = path.read_text()
    assert change[0] in before
    path.write_text(before.replace(*change, 1))
    with pytest.raises(TableError, match=f"list_attr_celeba.txt, {message}"):
        read_celeba_attributes(path, ("5_o_Clock_Shadow", "Young"))


def test_errors_of_partition_and_mapping_say_where(tmp_path: Path) -> None:
    celeba_folder(tmp_path, NAMES)
    arguments = (domain_of("Male"), str(tmp_path / "img_align_celeba"), str(tmp_path / "list_attr_celeba.txt"), "train")
    (tmp_path / "wrong.txt").write_text("000001.jpg 0\n000001.jpg 1\n")
    with pytest.raises(TableError, match=r"wrong.txt, line 2: the picture '000001.jpg' occurs twice"):
        CelebA(*arguments, str(tmp_path / "wrong.txt"))  # type: ignore[arg-type]
    (tmp_path / "wrong.txt").write_text("000001.jpg 0\n000002.jpg 5\n")
    with pytest.raises(TableError, match=r"wrong.txt, line 2: should be a picture and 0, 1 or 2"):
        CelebA(*arguments, str(tmp_path / "wrong.txt"))  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r"wrong.txt, line 2: should be idx, orig_idx and orig_file"):
        CelebA(*arguments, str(tmp_path / "list_eval_partition.txt"), str(tmp_path / "wrong.txt"))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["teacher", "judge"])
def test_celeba_configs_train_what_they_say(
    tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configs as they are, on a miniature CelebA and with narrow networks; the teacher is trained for a step."""
    celeba_folder(tmp_path, NAMES)
    narrow = {"base": str(CELEBA / "domain.yaml"), "image_side": 32}
    narrow[part] = {"width": 8, "head_width": 8}
    (tmp_path / "domain.yaml").write_text(yaml.safe_dump(narrow))
    files = {
        "folder": "img_align_celeba", "labels": "list_attr_celeba.txt", "partition": "list_eval_partition.txt"
    }  # fmt: skip
    overrides = [f"{data}.{key}={tmp_path / name}" for data in ("data", "validation") for key, name in files.items()]
    overrides += [f"domain={tmp_path / 'domain.yaml'}", "training.workers=0", "training.batch_size=4"]
    overrides += ["training.steps=1", "training.preview_images=2", "training.accumulate=1"]
    command = ["--config", str(CELEBA / f"{part}.yaml"), "--run", str(tmp_path / "run"), "--device", "cpu", *overrides]
    assert train.main([*command, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "training items 8, validation items 2" in shown  # 4 pictures and their mirror images
    assert "values                   (40,)" in shown
    if part == "judge":
        return
    assert train.main([*command, "--quiet"]) == 0
    assert (tmp_path / "run" / f"{part}.safetensors").is_file()


@pytest.mark.parametrize("part", ["teacher", "judge"])
def test_celeba_networks_have_the_published_layout(part: str) -> None:
    domain = load_config(CELEBA / "domain.yaml")
    section = domain.section(part)
    assert section.pop("weights") == f"runs/{load_config(CELEBA / f'{part}.yaml')['run']}/{part}.safetensors"
    with torch.device("meta"):
        network = NETWORKS.build(section)
    assert network.attribute_count == 40 and network.age_logits == 0
    assert network.feature_dim == {"teacher": 512, "judge": 2048}[part]


def test_a_classifier_with_ages_is_not_trained_on_celeba(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    celeba_folder(tmp_path, NAMES)
    (tmp_path / "domain.yaml").write_text(
        yaml.safe_dump({"base": str(CELEBA / "domain.yaml"), "teacher": {"width": 8, "head_width": 8, "age_logits": 6}})
    )
    status = train.main(["--config", str(CELEBA / "teacher.yaml"), f"domain={tmp_path / 'domain.yaml'}", "--dry-run"])
    assert status == 2 and "40 attribute heads and 6 age logits" in capsys.readouterr().err


def test_two_rows_that_mean_one_picture(tmp_path: Path) -> None:
    """Before: both were trained on, though they may contradict each other."""
    save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("picture,Male\na.png,1\na,0\n")
    with pytest.raises(ValueError, match="a.png: is meant by two rows of the table, 'a.png' and 'a'; delete one"):
        LabelledFolder(domain_of("Male"), str(tmp_path), str(tmp_path / "t.csv"))


def test_a_table_without_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before: a training on nothing that said "done"."""
    save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("picture,Male,New\na.png,,\n")
    with pytest.raises(TableError, match="t.csv: knows no value of any picture"):
        LabelledFolder(domain_of("Male", "New"), str(tmp_path), str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("picture,Male,New\na.png,1,\n")
    LabelledFolder(domain_of("Male", "New"), str(tmp_path), str(tmp_path / "t.csv"))
    assert "t.csv: no value of New is known" in capsys.readouterr().err
