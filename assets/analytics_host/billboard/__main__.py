"""Commands for the host's terminal.

python -m billboard convert             convert the songs to Parquet
python -m billboard save                save the home directory to the data bucket
python -m billboard restore [LOCATION]  restore the newest archive, or s3://<bucket>/<name>.tar.gz, to a new folder
"""

import argparse
import os
import sys
from pathlib import Path

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from .archive import ArchiveError
from .athena import Athena
from .home import SavedFiles
from .songs import SongsError

VARIABLES = {
    "convert": ("BILLBOARD_WORK_GROUP", "BILLBOARD_DATABASE"),
    "save": ("BILLBOARD_DATA_BUCKET",),
    "restore": ("BILLBOARD_DATA_BUCKET",),
}


def main() -> None:
    """Run the command given on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m billboard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("convert")
    commands.add_parser("save")
    commands.add_parser("restore").add_argument("location", nargs="?")
    arguments = parser.parse_args()
    missing = [name for name in VARIABLES[arguments.command] if name not in os.environ]
    if missing:
        sys.exit(f"not set: {', '.join(missing)}; use a terminal of JupyterLab or RStudio, where they are set")
    try:
        if arguments.command == "convert":
            Athena().convert()
        else:
            _save_or_restore(arguments)
    except (ArchiveError, Boto3Error, BotoCoreError, ClientError, OSError, SongsError) as error:
        sys.exit(f"{arguments.command}: {error}")


def _save_or_restore(arguments: argparse.Namespace) -> None:
    if os.geteuid() == 0:  # root would read what links in the home directory lead to, and write there
        raise ArchiveError("run this as the user of the home directory, not as root")
    if arguments.command == "restore":
        print(f"Restored to {SavedFiles().restore(Path.home(), arguments.location)}")
        return
    saved = SavedFiles().save(Path.home())
    print(f"Saved to {saved.location}; files: {saved.files:,}")
    if saved.problems:
        sys.exit("\n".join(["Not saved:", *saved.problems]))


if __name__ == "__main__":
    main()
