"""Take docs/images/demo.svg: the demo on a terminal, in the middle of its outage, and its account at the end.

    nox -s picture

The terminal is pyte's, the drawing rich's. Every run is another one, so no test compares the picture.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

PICTURE = Path(__file__).parent / "images" / "demo.svg"
COLUMNS, LINES = 126, 50
#: What has to be seen in the first picture: two services are down, calls wait, a route goes on.
SCENE = {"an outage": 1, "● open": 2, "route smart moved on": 1}
NAMES = {"brown": "yellow", "brightbrown": "bright_yellow", "default": None}


def main() -> int:
    """Run the demo, remember two screens, draw them below each other."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        size = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        os.execve(
            sys.executable, [sys.executable, "-m", "asyncapi", "demo", "--no-report"], os.environ | size
        )
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    shot = list[Text]()
    while data := read(terminal):
        stream.feed(data)
        between_frames = not select.select([terminal], [], [], 0.03)[0]
        if not shot and between_frames:
            shown = "\n".join(screen.display)
            shot = lines(screen) if all(shown.count(words) >= n for words, n in SCENE.items()) else []
    _, status = os.waitpid(child, 0)
    if not shot:
        print("two services were never seen down at a time: try again")
        return 1
    if status:
        print(f"the demo failed with {os.waitstatus_to_exitcode(status)}: no picture")
        return 1
    draw([Text("$ asyncapi demo", "bold"), Text(), *shot, Text(), Text("…", "dim"), Text(), *lines(screen)])
    return 0


def read(terminal: int) -> bytes:
    """What the demo wrote; nothing at its end."""
    select.select([terminal], [], [])
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""


def lines(screen: pyte.Screen) -> list[Text]:
    """The screen as styled text, without empty lines around it."""
    out = []
    for row in range(LINES):
        text = Text()
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            text.append(cell.data, style(cell))
        text.rstrip()
        out.append(text)
    while out and not out[-1].plain:
        out.pop()
    while out and not out[0].plain:
        out.pop(0)
    return out


def style(cell: Any) -> Style:
    """A cell's colours, in rich's names."""
    colour = NAMES.get(cell.fg, re.sub(r"^bright", "bright_", cell.fg))
    if colour and re.fullmatch(r"[0-9a-f]{6}", colour):
        colour = f"#{colour}"
    return Style(color=colour, bold=cell.bold, italic=cell.italics, reverse=cell.reverse)


def draw(text: list[Text]) -> None:
    """Write the picture, without the fonts that it would fetch."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(
            width=COLUMNS, record=True, file=nowhere, force_terminal=True, color_system="truecolor"
        )
        for line in text:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        svg = console.export_svg(title="asyncapi demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    PICTURE.write_text(svg, encoding="utf-8")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    raise SystemExit(main())
