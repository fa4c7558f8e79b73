"""Makes patients.csv from pn2012.csv of tableone 0.9.6 (see README.md).

    python examples/data/make_patients.py pn2012.csv

Nothing is invented: codes become words, and what the source does not know stays "not recorded".
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

ROWS = 500
WARDS = {
    "CCU": "coronary care",
    "CSRU": "cardiac surgery recovery",
    "MICU": "medical intensive care",
    "SICU": "surgical intensive care",
}


def _finding(row: dict[str, str]) -> str:
    known = row["SysABP"] and float(row["SysABP"]) > 0
    pressure = f"{float(row['SysABP']):.0f} mmHg" if known else "not recorded"
    breathing = "mechanically ventilated" if row["MechVent"] == "1" else "not ventilated"
    return f"systolic pressure {pressure}, {breathing}"


def _outcome(row: dict[str, str]) -> str:
    days = int(row["LOS"])
    stay = f"after {days} days" if days >= 0 else "length of stay not recorded"
    return f"{'died in hospital' if row['death'] == '1' else 'discharged alive'}, {stay}"


def main(source: str) -> None:
    """Write patients.csv beside this file."""
    target = Path(__file__).with_name("patients.csv")
    with open(source, newline="") as read, target.open("w", newline="") as write:
        writer = csv.writer(write, lineterminator="\n")
        writer.writerow(["patient_id", "ward", "age", "finding", "outcome"])
        for number, row in enumerate(csv.DictReader(read), start=1):
            if number > ROWS:
                break
            ward = WARDS[row["ICU"]]
            writer.writerow([f"P{number:04}", ward, row["Age"], _finding(row), _outcome(row)])


if __name__ == "__main__":
    main(sys.argv[1])
