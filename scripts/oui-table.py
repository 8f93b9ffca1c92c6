#!/usr/bin/env python3
"""Makes data/oui.tsv anew: which vendor the IEEE has given each prefix of hardware addresses to.

The IEEE asserts no copyright in its public listing. It comes as JSON in the npm package `oui-data`, which
follows the listing week by week: `scripts/oui-table.py` brings the package with npm; `scripts/oui-table.py
FOLDER` takes one that was unpacked already. The first line of the table is the day of the listing.

Lines are sorted by prefix (6, 7 or 9 hexadecimal digits), so that the program finds one by halving. Names are
without their legal forms, and cut to 40 characters.
"""

import datetime
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

LEGAL = re.compile(
    r"[\s,.(]*\b(inc|incorporated|corp|corporation|corporate|co|company|ltd|limited|llc|l\.l\.c|gmbh|ag|kg|sa|s\.a"
    r"|s\.a\.s|sas|bv|b\.v|nv|n\.v|ab|oy|oyj|a/s|as|aps|spa|s\.p\.a|srl|s\.r\.l|pty|pte|plc|sdn|bhd|kft|s\.r\.o|d\.o\.o"
    r"|z\.o\.o|ltda|international)\b[\s.,)]*$",
    re.IGNORECASE,
)
WIDTH = 40
# Given out further in small pieces, or to nobody who wants to be named.
NOBODY = {"IEEE Registration Authority", "Private"}


def short(name: str) -> str:
    name = " ".join(name.split())
    while True:
        shorter = LEGAL.sub("", name)
        # Something has to be left to know it by.
        if shorter == name or len(shorter) < 3:
            break
        name = shorter
    return name[:WIDTH].rstrip(" ,.(&")


def package(folder: str) -> tuple[dict[str, str], str]:
    found = pathlib.Path(folder) / "package" / "index.json"
    told = json.loads((found.parent / "package.json").read_text())
    times = subprocess.run(
        ["npm", "view", "oui-data", "time", "--json"], check=True, capture_output=True, text=True
    )
    day = json.loads(times.stdout)[told["version"]][:10]
    return json.loads(found.read_text()), str(datetime.date.fromisoformat(day))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = sys.argv[1] if len(sys.argv) > 1 else scratch
        if folder == scratch:
            subprocess.run(["npm", "pack", "--silent", "oui-data"], check=True, cwd=scratch)
            for archive in pathlib.Path(scratch).glob("*.tgz"):
                with tarfile.open(archive) as tar:
                    tar.extractall(scratch, filter="data")
        vendors, day = package(folder)
    lines = [f"# {day}"]
    for prefix, text in sorted(vendors.items()):
        name = text.split("\n")[0].strip()
        if name and name not in NOBODY:
            lines.append(f"{prefix.upper()}\t{short(name)}")
    table = pathlib.Path(__file__).parent.parent / "data" / "oui.tsv"
    table.write_text("\n".join(lines) + "\n")
    print(f"{table}: {len(lines) - 1} prefixes, {table.stat().st_size} bytes, of {day}")


if __name__ == "__main__":
    main()
