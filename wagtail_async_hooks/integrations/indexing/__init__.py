"""Wagtail's commands that rebuild indexes, so that they report progress and can be cancelled.

Each object is written in a transaction that holds its row, so that whoever saves it meanwhile
is either seen, or writes afterwards: the last state is what is indexed.
"""
