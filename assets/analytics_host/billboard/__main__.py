"""Convert the songs to Parquet: python -m billboard convert."""

import argparse

from .athena import Athena


def main() -> None:
    """Run the command given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m billboard", description=__doc__)
    parser.add_argument("command", choices=["convert"])
    parser.parse_args()
    Athena().convert()


if __name__ == "__main__":
    main()
