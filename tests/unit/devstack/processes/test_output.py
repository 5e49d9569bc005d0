from __future__ import annotations

import io
import threading

import pytest

from devstack.processes import output


class TTY(io.StringIO):
    def isatty(self) -> bool:
        return True


class Paused(io.StringIO):
    """A terminal after Ctrl-S: writing to it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.resumed = threading.Event()

    def write(self, text: str) -> int:
        self.resumed.wait()
        return super().write(text)


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class TestTerminal:
    def test_names_the_process_of_each_line(self) -> None:
        stream = io.StringIO()
        terminal = output.Terminal(stream)

        terminal.line("web", "serving")
        terminal.line("sweeper", "sweeping")
        terminal.close()

        assert stream.getvalue() == "web      | serving\nsweeper  | sweeping\n"

    def test_colours_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        stream = TTY()
        terminal = output.Terminal(stream)

        terminal.line("web", "serving")
        terminal.close()

        assert stream.getvalue() == "\033[36mweb      |\033[0m serving\n"

    def test_honours_no_color(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")

        assert output.Terminal(TTY()).paint("text", 31) == "text"

    def test_does_not_wait_for_a_paused_terminal(self) -> None:
        stream = Paused()
        terminal = output.Terminal(stream)

        # More than the queue holds: without a bound this would wait, or fill the memory.
        for number in range(12_000):
            terminal.line("web", str(number))

        stream.resumed.set()
        terminal.close()
        assert stream.getvalue().startswith("web      | 0\n")

    def test_survives_a_terminal_that_is_gone(self) -> None:
        terminal = output.Terminal(Closed())

        terminal.say("one")
        terminal.say("two")
        terminal.close()
