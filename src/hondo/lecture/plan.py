"""What an experiment is to show, written down before it runs."""

from typing import Literal, NamedTuple

from hondo.lecture.rules import Rule
from hondo.lecture.words import Text

Reading = Literal["claim", "slide"]


class Criterion(NamedTuple):
    """One statement, and how it is decided.

    Attributes:
        name: of the value that each seed measures for it.
        rule: how it is decided.
        en: the statement in English.
        es: the statement in Spanish.
        reading: "slide" for the letter of a slide that the literature corrects; the experiment's
            verdict is that of the others.

    Example:
        >>> from hondo.lecture import PLANS
        >>> PLANS[6].criteria[0].name, PLANS[6].criteria[0].rule
        ('monotone', Share(least=0.95, by_chance=True))
    """

    name: str
    rule: Rule
    en: str
    es: str
    reading: Reading = "claim"

    @property
    def says(self) -> Text:
        """The statement."""
        return Text(self.en, self.es)


class Plan(NamedTuple):
    """One of the twelve experiments.

    Attributes:
        number: 1 to 12.
        name: for files.
        slides: whose claims they are.
        title: a few words.
        claim: what is put to the test.
        protocol: data, model and what is measured.
        seeds: how many a full run has.
        criteria: all of them.

    Example:
        >>> from hondo.lecture import PLANS
        >>> PLANS[0].number, PLANS[0].name, PLANS[0].slides
        (1, 'penalties', (3,))
    """

    number: int
    name: str
    slides: tuple[int, ...]
    title: Text
    claim: Text
    protocol: Text
    seeds: int
    criteria: tuple[Criterion, ...]
