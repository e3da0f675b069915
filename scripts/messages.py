"""
Reads the texts to translate into the files of each language, and compiles those: `make messages`.

Needs GNU gettext. What is not translated yet is listed; see docs/contributing/adding.md.
"""

import gettext
import os
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "wagtail_async_hooks"
LANGUAGES = sorted(path.name for path in (PACKAGE / "locale").iterdir() if path.is_dir())
ADMIN = [sys.executable, "-P", "-m", "django"]  # not our own types.py, in the working directory


def main() -> int:
    """Do both; return 1 if something is not translated."""
    languages = [f"--locale={name}" for name in LANGUAGES]
    run(*ADMIN, "makemessages", "--no-location", "--no-obsolete", "--no-wrap", *languages)
    for name in LANGUAGES:
        without_date(PACKAGE / "locale" / name / "LC_MESSAGES" / "django.po")
    run(*ADMIN, "compilemessages", *languages)
    lacking = 0
    for name in LANGUAGES:
        folder = PACKAGE / "locale" / name / "LC_MESSAGES"
        done = subprocess.run(
            ["msgfmt", "--check", "--statistics", "-o", os.devnull, folder / "django.po"],
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"{name}: {done.stderr.strip()}")
        lacking += "untranslated" in done.stderr or "fuzzy" in done.stderr
        with (folder / "django.mo").open("rb") as compiled:
            gettext.GNUTranslations(compiled)
    return 1 if lacking else 0


def run(*command: str) -> None:
    """Run a command in the package's folder."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": ""}
    subprocess.run(command, cwd=PACKAGE, check=True, env=environment, stdout=subprocess.DEVNULL)


def without_date(path: Path) -> None:
    """Drop the date on which texts were read: it would change the file each time."""
    text = re.sub(r'^"POT-Creation-Date: .*\\n"\n', "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
