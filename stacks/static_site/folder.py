"""The folder that is deployed: the publishable files of the site."""

import shutil
from pathlib import Path

from settings.static_site import StaticSiteSettings

from ..constructs.assets import stage_files

NOT_FOUND = "404.html"
DEFAULT_NOT_FOUND = Path(__file__).parents[2] / "assets" / "static_site" / NOT_FOUND


def stage_site(settings: StaticSiteSettings) -> Path:
    """Copy the publishable files of the site to a temporary folder, with a plain 404 page if the site has none.

    Raises:
        AssetError: the site contains files that must not be published.
    """
    folder = Path(
        stage_files(
            settings.site,
            setting="static_site:site",
            allowed=settings.allowed_files,
            allow_setting="static_site:allowed_files",
        )
    )
    if not (folder / NOT_FOUND).exists():
        shutil.copy(DEFAULT_NOT_FOUND, folder / NOT_FOUND)
    return folder


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder in a stable order."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
