"""What is done with the songs on the host, from a terminal.

python -m billboard convert          write the songs as Parquet
python -m billboard report FILE      train all models and write the report
"""

import argparse
from pathlib import Path

from . import figures, models, report, songs
from .athena import Athena


def main() -> None:
    """Do what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("convert")
    commands.add_parser("report").add_argument("file", type=Path)
    options = parser.parse_args()
    athena = Athena()
    if options.command == "convert":
        athena.convert()
        return
    models.connect_to_h2o()
    found = athena.songs()
    training, test = songs.split(found)
    results = models.train(
        models.ALL, training, test, lambda name, done: print(f"\r{name}: {done:4.0%}", end="", flush=True)
    )
    print()
    print(figures.table(results, published=False).to_string(index=False))
    report.write(report.Analysis("Athena", found, test, {}, results, published=False), options.file)


if __name__ == "__main__":
    main()
