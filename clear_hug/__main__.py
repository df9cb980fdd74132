"""`python -m clear_hug` is `clear-hug`."""

from clear_hug.cli import app

if __name__ == "__main__":
    app(prog_name="clear-hug")
