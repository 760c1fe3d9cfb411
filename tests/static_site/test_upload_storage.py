"""The temporary storage of the function that uploads the site: it holds the archive and its contents together."""

import shutil
from pathlib import Path

import pytest

from stacks.constructs.assets import AssetError
from stacks.static_site.upload_storage import MAX_MIB, required_mib

from ..conftest import resources_of_type, synthesize

MIB = 1024 * 1024


def add_file(folder: Path, name: str, size: int) -> None:
    """Create a sparse file, which takes no space."""
    with (folder / name).open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1000], 512),
        ([100 * MIB, 100 * MIB], 512),
        ([150 * MIB, 150 * MIB], 1024),
        ([600 * MIB], 2048),
        ([1] * 40_000, 512),  # blocks of 4 KiB
        ([1] * 70_000, 1024),
        ([4500 * MIB], MAX_MIB),
    ],
)
def test_storage_fits_archive_and_contents(sizes: list[int], expected: int) -> None:
    assert required_mib(sizes) == expected


def test_site_over_the_maximum_is_rejected_with_the_limit() -> None:
    with pytest.raises(AssetError, match=r"static_site:site: the files have 6,000 MiB; .* at most 5,104 MiB"):
        required_mib([6000 * MIB])


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a site of several hundred megabytes",
    expected="the upload function has storage for the archive and its contents; a larger site fails synthesis",
    observed="template: `EphemeralStorage` depends on the folder's size",
)
def test_upload_function_of_a_large_site_has_more_storage(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("index.html", "404.html"):
        (site / name).write_text("<p>page</p>")
    add_file(site, "video.mp4", 250 * MIB)
    template = synthesize(tmp_path / "out", {"static_site:site": str(site)}, "StaticSite").template("StaticSite")
    shutil.rmtree(tmp_path)  # not among the folders that pytest keeps
    handler = resources_of_type(template, "AWS::Lambda::Function")
    assert [f["EphemeralStorage"] for f in handler if "EphemeralStorage" in f] == [{"Size": 1024}]
