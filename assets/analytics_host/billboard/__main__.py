"""Writes the songs as Parquet, from a terminal of the host: python -m billboard convert."""

import argparse

from .athena import Athena


def main() -> None:
    """Do what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m billboard", description=__doc__)
    parser.add_argument("command", choices=["convert"])
    parser.parse_args()
    Athena().convert()


if __name__ == "__main__":
    main()
