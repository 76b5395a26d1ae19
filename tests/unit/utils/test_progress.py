import io

from rich.console import Console

from glassine.utils.progress import progress_bar


def shown(terminal: bool, **settings: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100)
    with progress_bar(console, "writing [a]", 4, **settings) as update:
        update()
        update(3)
        update(2, 8, "scoring")
    return file.getvalue()


def test_it_says_what_goes_on_how_much_is_done_and_of_how_much():
    text = shown(False)
    assert "scoring" in text
    assert "2/8" in text


def test_it_is_silent_where_it_shall_be_shown_on_terminals_only():
    assert not shown(False, only_terminal=True).strip()
    assert "2/8" in shown(True, only_terminal=True)
