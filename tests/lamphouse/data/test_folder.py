"""The user's own images: both layouts, read once, and every way in which they can be wrong."""

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_data import write_folder, write_image
from PIL import Image

from lamphouse.data import ImageFolderDataModule, Samples
from lamphouse.data.folder import channel_statistics
from lamphouse.data.image_files import read_image
from lamphouse.errors import InputError

SHAPE = (3, 8, 8)


def fitted(root: Path, **options: object) -> ImageFolderDataModule:
    data = ImageFolderDataModule(root, image_size=8, **options)  # type: ignore[arg-type]  # options of any type
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    return data


def split_layout(root: Path, parts: dict[str, int]) -> Path:
    for part, per_class in parts.items():
        write_folder(root / part, per_class=per_class)
    return root


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp", "PNG", "tif", "ppm", "gif"])
def test_one_folder_a_class(suffix: str) -> None:
    data = fitted(write_folder(Path("images"), suffix=suffix), test_fraction=0.2, val_fraction=0.25)
    assert list(data.classes) == ["cat", "dog"]
    assert data.num_classes == 2
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 12, "val": 4, "test": 4}
    for part in data.parts.values():
        assert part[:][0].dtype == torch.uint8
        assert part[:][0].shape[1:] == SHAPE
        assert torch.bincount(part[:][1]).tolist() == [len(part) // 2] * 2


def test_no_image_is_in_two_parts_and_each_has_its_own_label() -> None:
    data = fitted(write_folder(Path("images"), per_class=20))
    colours = [tuple(image[:, 0, 0].tolist()) for part in data.parts.values() for image in part[:][0]]
    labels = torch.cat([part[:][1] for part in data.parts.values()]).tolist()
    assert len(set(colours)) == 40
    assert [red // 25 for red, _, _ in colours] == labels


def test_the_test_images_are_the_same_for_every_seed() -> None:
    write_folder(Path("images"))
    first, second = fitted(Path("images"), seed=1), fitted(Path("images"), seed=2)
    assert torch.equal(first.parts["test"][:][0], second.parts["test"][:][0])
    assert not torch.equal(first.parts["val"][:][0], second.parts["val"][:][0])


def test_folders_of_their_own_stay_what_they_are() -> None:
    data = fitted(split_layout(Path("images"), {"train": 8, "val": 3, "test": 2}))
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 16, "val": 6, "test": 4}


@pytest.mark.parametrize("missing", ["val", "test"])
def test_a_part_without_a_folder_is_taken_from_the_training_images(missing: str) -> None:
    sizes = {"train": 10, "val": 2, "test": 2}
    sizes.pop(missing)
    data = fitted(split_layout(Path("images"), sizes), val_fraction=0.2, test_fraction=0.2)
    assert len(data.parts[missing]) == 4
    colours = [{image[:, 0, 0].numpy().tobytes() for image in data.parts[part][:][0]} for part in ("train", missing)]
    assert not colours[0] & colours[1]


def test_a_folder_of_validation_images_is_not_one_of_the_folds() -> None:
    root = split_layout(Path("images"), {"train": 4, "val": 2})
    with pytest.raises(InputError, match=r"--data\.num_folds 2: images/val is for validation: merge"):
        fitted(root, num_folds=2, fold=0)


def test_the_mean_and_deviation_are_those_of_the_training_images() -> None:
    data = fitted(write_folder(Path("images")))
    values = data.parts["train"][:][0].double() / 255
    assert data.mean == pytest.approx(values.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert data.std[:2] == pytest.approx(values.std((0, 2, 3), correction=0)[:2].tolist(), abs=1e-4)


def test_statistics_do_not_depend_on_the_chunk() -> None:
    part = Samples(torch.randint(256, (50, 3, 4, 4), dtype=torch.uint8), torch.zeros(50))
    for by_chunk, whole in zip(channel_statistics(part, 7), channel_statistics(part, 50), strict=True):
        assert by_chunk == pytest.approx(whole, rel=1e-5)  # sums of float32 in another order


def test_grey_images() -> None:
    data = fitted(write_folder(Path("images")), channels=1)
    assert data.input_shape == (1, 8, 8)
    assert data.parts["train"][:][0].shape[1:] == (1, 8, 8)


def test_what_was_found_and_skipped_is_described() -> None:
    root = write_folder(Path("images"))
    for name in ("dog/below/1.gif", ".thumbnails/1.png", "cat/._1.png", "loose.png", "emu/1.png", "emu/2.png"):
        write_image(root / "image.png").rename(write_image(root / name))
    for name in ("cat/notes.txt", "cat/photo.heic", "README"):
        (root / name).write_text("no image")
    (root / "dog" / "below" / "back").symlink_to("..", target_is_directory=True)
    data = fitted(root)
    assert data.classes == ["cat", "dog", "emu"]
    assert sum(len(part) for part in data.parts.values()) == 10 + 11 + 2
    assert data.describe() == [
        "images: 23 images, 1 of them in folders within; classes: cat 10, dog 11, emu 2",
        "images: skipped: .heic 1, .txt 1, hidden 2, images outside the folders of classes 1, no extension 1",
        "images: too few images to be in each of training, validation, test: emu 2",
    ]


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Training", "validation", "TEST")])
def test_parts_have_other_names(names: tuple[str, ...]) -> None:
    data = fitted(split_layout(Path("images"), dict(zip((*names, "more"), (8, 3, 2, 2), strict=True))))
    assert {part: len(images) for part, images in data.parts.items()} == {"train": 16, "val": 6, "test": 4}
    assert data.describe()[-1] == "images: skipped: other folders 1"


def test_all_bad_files_of_all_parts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    root = split_layout(Path("images"), {"train": 3, "val": 2, "test": 2})
    bad = [root / name for name in ("train/cat/1.png", "train/dog/bad\udcff.png", "val/dog/0.png", "test/cat/1.png")]
    for path in bad:
        path.write_bytes(b"junk")
    bad.append(root / "test/dog/pipe.png")
    os.mkfifo(bad[-1])  # which would wait for a writer
    with pytest.raises(InputError, match=r"\A5 files are not readable, listed above: replace or remove them\Z"):
        fitted(root)
    listed = [line for line in capsys.readouterr().err.splitlines() if "not a readable image" in line]
    names = {line.partition(": ")[0] for line in listed}
    assert names == {str(path).replace("\udcff", "\\xff") for path in bad}


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "1"])
def test_every_mode_is_read(mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    white = Image.new(mode, (9, 8), 0xFFFF) if mode == "I;16" else Image.new("L", (9, 8), 255).convert(mode)
    white.save(f"image.{suffix}")
    for channels in (1, 3):
        image = read_image(f"image.{suffix}", (channels, 8, 8))
        assert image.shape == (channels, 8, 8)
        assert image.min() > 250


@pytest.mark.parametrize(("most", "level"), [(65535, 0x1234), (1023, 0x123), (255, 0x12)])
def test_a_pgm_of_any_depth_is_scaled(most: int, level: int) -> None:
    values = np.full(64, level, ">u2" if most > 255 else "u1")
    Path("image.pgm").write_bytes(f"P5 8 8 {most}\n".encode() + values.tobytes())
    assert np.abs(read_image("image.pgm", (3, 8, 8)) - 255 * level / most).max() <= 1


def test_gray_levels_of_12_bits_are_scaled_where_the_file_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    levels = np.full(64, 0x123)
    packed = "".join(f"{level:03x}" for level in levels)
    for bits, data, expected in ((12, bytes.fromhex(packed), 0x12), (16, levels.astype("<u2").tobytes(), 0x1)):
        tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1, 273: 8, 278: 8, 279: len(data)}
        directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        start = b"II*\0" + struct.pack("<I", 8 + len(data))
        Path("image.tif").write_bytes(start + data + struct.pack("<H", len(tags)) + directory + bytes(4))
        assert (read_image("image.tif", SHAPE) == expected).all()
    assert capsys.readouterr().err.count("has no gray level above 4,095") == 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str) -> None:
    Image.new(mode, (8, 8), 300).save("image.tif")
    with pytest.raises(InputError, match=r"image.tif: not a readable image \(32 bits a pixel: expected 8 or 16\)"):
        read_image("image.tif", SHAPE)


def test_an_image_is_scaled_to_cover_and_cropped_at_the_centre() -> None:
    columns = np.repeat(np.arange(24, dtype=np.uint8)[None, :] * 10, 8, axis=0)
    Image.fromarray(columns).save("wide.png")
    assert np.array_equal(read_image("wide.png", (1, 8, 8))[0], columns[:, 8:16])
    assert read_image("wide.png", (1, 16, 4)).shape == (1, 16, 4)


def test_a_photograph_is_turned_upright() -> None:
    upright = Image.new("L", (8, 8))
    upright.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    upright.transpose(Image.Transpose.ROTATE_90).save("photo.png", exif=exif)
    assert read_image("photo.png", (1, 8, 8))[0, :, 0].tolist() == [255] * 4 + [0] * 4


def bad_image(root: Path, content: bytes) -> None:
    (write_folder(root) / "dog" / "zz.png").write_bytes(content)


def half_an_image(root: Path) -> None:
    whole = write_image(root / "dog" / "zz.png", size=(60, 60))
    bad_image(root, whole.read_bytes()[: whole.stat().st_size // 2])


WRONG = {
    "missing": (Path.exists, "images: no folder of images"),
    "a file": (lambda root: root.write_text(""), "images: no folder of images"),
    "empty": (lambda root: root.mkdir(), "images: no folder of images"),
    "one class": (lambda root: write_folder(root, ["cat"]), "images: a single class, 'cat'"),
    "images without classes": (lambda root: write_image(root / "1.png"), "images: no folder of images"),
    "empty class": (lambda root: (write_folder(root) / "emu").mkdir(), "images: .*emu"),
    "empty training class": (lambda root: (split_layout(root, {"train": 4}) / "train" / "emu").mkdir(), "emu"),
    "unknown class": (
        lambda root: write_folder(split_layout(root, {"train": 4}) / "val", ["emu"]),
        "val/emu: not a class",
    ),
    "parts without classes": (
        lambda root: [write_image(root / part / "1.png") for part in ("train", "val")],
        "images: train and val have no folders of classes: expected",
    ),
    "a part twice": (
        lambda root: split_layout(root, {"train": 4, "val": 2, "valid": 2}),
        "valid: a second folder of val images: merge it with images/val",
    ),
    "empty test class": (
        lambda root: shutil.rmtree(split_layout(root, {"train": 4, "test": 4}) / "test" / "dog"),
        "test: .*dog",
    ),
    "text as image": (lambda root: bad_image(root, b"no image"), "dog/zz.png: not a readable image"),
    "no bytes": (lambda root: bad_image(root, b""), "dog/zz.png: not a readable image"),
    "no file": (
        lambda root: (write_folder(root) / "dog" / "zz.png").symlink_to("gone.png"),
        "dog/zz.png: not a readable",
    ),
    "half an image": (half_an_image, "dog/zz.png: not a readable image"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_in_one_line(make: object, message: str) -> None:
    make(Path("images"))  # type: ignore[operator]  # each case is a function
    with pytest.raises(InputError, match=message) as info:
        fitted(Path("images"))
    assert "\n" not in str(info.value)
    assert str(info.value).count(": ") >= 2  # what, why and the way out


def test_too_few_images_for_all_parts() -> None:
    with pytest.raises(InputError, match="no samples are left for test"):
        fitted(write_folder(Path("images"), per_class=1))


def test_images_are_measured_for_a_test_alone(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = ImageFolderDataModule(tmp_path, image_size=8, cache_dir=None)
    data.setup("test")
    assert len(data.mean) == len(data.std) == 3
