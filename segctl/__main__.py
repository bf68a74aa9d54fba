"""``python -m segctl`` is the program ``segctl``, for where only Python is on the path."""

from segctl.cli.main import run

if __name__ == "__main__":
    run()
