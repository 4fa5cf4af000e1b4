"""Which words of a data set mean that a film shows the finding, and which that it does not. Others leave it out."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from converters.data.datasets import Film, FilmSet
from converters.failures import DataUnreadable
from converters.recipe_tables import ClassWords

BETWEEN_LABELS = "|"
"""What stands between the labels of a film that has several, as ChestX-ray14 writes them."""


def label(films: FilmSet, positive: ClassWords, negative: ClassWords | None) -> FilmSet:
    """Label ``films`` by their class words: 1 where one of them is ``positive``.

    It is 0 where one is ``negative``, or, without such words, wherever none is positive. Other films are left out, and
    a line says how many. Case does not matter. Raises :class:`DataUnreadable` for a word that no film has.
    """
    shows, lacks = _fold(positive), None if negative is None else _fold(negative)
    _check(films, [*_list_items(positive), *_list_items(negative or ())])
    kept: list[Film] = []
    for film in films.films:
        words = set(_words(film))
        if words & shows:
            kept.append(replace(film, label=1))
        elif lacks is None or words & lacks:
            kept.append(replace(film, label=0))
    if gone := len(films.films) - len(kept):
        line = f"{films.name}: {gone} of {len(films.films)} films left out: they are of neither class"
        print(line, file=sys.stderr, flush=True)
    return FilmSet(films.name, BETWEEN_LABELS.join(_list_items(positive)), tuple(kept))


def _check(films: FilmSet, wanted: Sequence[str]) -> None:
    found = {word for film in films.films for word in _words(film)}
    absent = [word for word in wanted if word.casefold() not in found]
    if absent:
        every = {word for film in films.films for word in film.said.split(BETWEEN_LABELS)}
        detail = f"no film is of the class {absent[0]} (classes found: {', '.join(sorted(every))})"
        raise DataUnreadable(films.name, detail)
    if twice := {word.casefold() for word in wanted if [one.casefold() for one in wanted].count(word.casefold()) > 1}:
        raise DataUnreadable(films.name, f"{min(twice)} is named more than once")


def _words(film: Film) -> list[str]:
    return [word.casefold() for word in film.said.split(BETWEEN_LABELS)]


def _list_items(words: ClassWords) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


def _fold(words: ClassWords) -> set[str]:
    return {word.casefold() for word in _list_items(words)}
