"""Several data sets in one recipe: names of their own, patients kept apart, and the set as the trait ``source``."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace

from converters.data import datasets
from converters.data.datasets import Film, FilmSet

SOURCE = "source"
SITE = "site"


def merge(first: FilmSet, more: Mapping[str, FilmSet]) -> FilmSet:
    """``first``, whose films keep their names, and the films of ``more`` (name → set) as ``name of the set/name``."""
    others = [
        replace(film, name=f"{name}/{film.name}", patient=patient(film, name))
        for name, films in more.items()
        for film in _add_source(films, name)
    ]
    return FilmSet(first.name, first.positive, (*_add_source(first, first.name), *others))


def patient(film: Film, of_set: str) -> str:
    """The film's patient, apart from those of other sets: only a name like that of the children's films, which their
    other sizes share, is the same patient in every set; a number is not."""
    by_name = datasets.patient_of(film.path.name)
    if film.index is None and datasets.is_picture(film.path) and film.patient == by_name != film.path.stem:
        return film.patient
    return f"{of_set}/{film.patient}"


def leave_out(
    films: FilmSet, sets: Collection[str], groups: Collection[str], group_of: Mapping[str, str], kept: Collection[str]
) -> FilmSet:
    """``films`` less those of ``sets``, by name, that are in one of ``groups``; a line tells how many.

    What is ``kept`` stays. So does a film of the first set: there it is a leak, which the division refuses.
    """
    prefixes = tuple(f"{name}/" for name in sets)
    left = tuple(
        film
        for film in films.films
        if group_of[film.name] not in groups or film.name in kept or not film.name.startswith(prefixes)
    )
    if len(left) < len(films.films):
        gone = len(films.films) - len(left)
        line = f"{films.name}: {gone} films of other sets left out: they belong to the test part"
        print(line, file=sys.stderr, flush=True)
    return replace(films, films=left)


def _add_source(films: FilmSet, name: str) -> list[Film]:
    """The films with the set as their source; sources that a set itself tells apart become the trait ``site``."""
    told = {dict(film.traits).get(SOURCE) for film in films.films}
    return [replace(film, traits=_traits(film, name, keep=len(told) > 1)) for film in films.films]


def _traits(film: Film, of_set: str, *, keep: bool) -> tuple[tuple[str, str], ...]:
    traits = dict(film.traits)
    own = traits.pop(SOURCE, None)
    if keep and own is not None:
        traits.setdefault(SITE, own)
    return (*traits.items(), (SOURCE, of_set))
