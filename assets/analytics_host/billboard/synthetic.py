"""Generate synthetic songs with the columns and types of the original file, and none of its contents.

    python -m billboard.synthetic > songs.csv

The same seed generates the same file, byte for byte. Loud songs are hits more often, so that the models have
something to learn, but their results have no meaning.
"""

import csv
import math
import random
import sys
from typing import TextIO

from .songs import COLUMNS

SEED = 1122
YEARS = range(1990, 2011)
SONGS_PER_YEAR, SONGS_IN_LAST_YEAR = 45, 150
NAMES = {"songid": "songID", "artistid": "artistID", "top10": "Top10"}  # spelling in the original file
# A named query looks for Janet Jackson. All titles are invented.
ARTISTS = ("Janet Jackson", "The Invented", "Nobody & Co.", "Motör Häuser", "DJ Placeholder Feat. Lorem")
TITLES = ("Song", "Tune, Slow", 'The "Quoted" One', "Título", "Air / Reprise")


def write(file: TextIO, seed: int = SEED) -> None:
    """Write synthetic songs to `file`."""
    chance = random.Random(seed)  # noqa: S311
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(NAMES.get(name, name) for name in COLUMNS)
    for year in reversed(YEARS):
        for number in range(SONGS_IN_LAST_YEAR if year == YEARS[-1] else SONGS_PER_YEAR):
            song = _song(chance, year, number)
            writer.writerow(song[name] for name in COLUMNS)


def _song(chance: random.Random, year: int, number: int) -> dict[str, object]:
    energy = chance.betavariate(5, 2)
    loudness = -18 + 14 * energy + chance.gauss(0, 1.9)
    tempo = max(0.0, chance.gauss(118, 28))
    song: dict[str, object] = {
        "year": year,
        "songtitle": f"{chance.choice(TITLES)} {year}-{number}",
        "artistname": chance.choice(ARTISTS),
        "songid": f"SO{chance.randrange(16**14):014X}00",
        "artistid": f"AR{chance.randrange(16**14):014X}00",
        "timesignature": chance.choices((0, 1, 3, 4, 5, 7), (1, 2, 7, 88, 1, 1))[0],
        "timesignature_confidence": round(chance.random(), 3),
        "loudness": round(loudness, 3),
        "tempo": round(tempo, 3),
        "tempo_confidence": round(chance.random(), 3),
        "key": chance.randrange(12),
        "key_confidence": round(chance.random(), 3),
        "energy": round(energy, 9),
        "pitch": round(chance.random() / 20, 3),
    }
    brightness = chance.gauss(0, 1)
    for number_of_timbre in range(12):
        low, high = -chance.uniform(20, 200), chance.uniform(20, 200)
        song[f"timbre_{number_of_timbre}_min"] = round(low + 20 * brightness, 3)
        song[f"timbre_{number_of_timbre}_max"] = round(high + 20 * brightness, 3)
    score = -2.9 + 0.35 * (loudness + 8) + 1.2 * brightness + (tempo - 118) / 60
    song["top10"] = int(chance.random() < 1 / (1 + math.exp(-score)))
    return song


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    write(sys.stdout)
