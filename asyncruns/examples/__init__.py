"""Small programs that use asyncruns as yours would: from its public names only.

`python -m asyncruns.examples.web` serves a page that asks questions and shows the runs live.
"""
