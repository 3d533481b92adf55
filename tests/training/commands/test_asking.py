"""Where a folder can be read in two ways, the commands ask a terminal, and end with 2 where there is none."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.training.sets import blob, save, voc

SAY = [sys.executable, "-m", "training", "inspect"]


def lay(folder: Path) -> Path:
    """Lay a folder with boxes and masks."""
    for number in range(4):
        voc(folder, f"{number}", [("cat", (1, 1, 20, 20))], number)
        save(folder / "SegmentationClass" / f"{number}.png", blob(8), palette=True)
    return folder


def test_without_a_terminal_the_exit_code_is_2(tmp_path: Path) -> None:
    """The one line says both readings and the options; nothing is read, and nobody is waited for."""
    ended = subprocess.run(
        [*SAY, str(lay(tmp_path))], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert "--task localize" in ended.stderr
    assert "--task segment" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_terminal_is_asked(tmp_path: Path) -> None:
    """Both readings are listed with a number each; a number that is none is asked for again."""
    lay(tmp_path)
    own, terminal = pty.openpty()
    try:
        running = subprocess.Popen(
            [*SAY, str(tmp_path)], stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, text=True
        )
        os.close(terminal)
        os.write(own, b"7\n2\n")
        output, _ = running.communicate(timeout=120)
        asked = os.read(own, 65536).decode()
    finally:
        os.close(own)
    assert running.returncode == 0
    assert "images/ and masks/, for segmentation; 4 images" in output
    assert "1  Pascal VOC XML for localization (--task localize)" in asked
    assert asked.count("Which is meant?") == 2
