"""Fills the gallery: every picture of the site, with a link to the page that draws it."""

from collections.abc import Callable, Mapping, Set
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGE = "gallery"
# A page is in the first section whose prefix its name has.
SECTIONS = {
    "The lecture": "lecture/slide-",
    "The experiments": "lecture/results/",
    "Techniques, guides, benchmarks": "",
}
_STYLE = (
    "<style>.pictures{display:grid;gap:1.5rem;"
    "grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr))}"
    ".pictures figure{margin:0}.pictures img{width:100%;background:white}</style>"
)


def pictures_by_page(images: Mapping[str, tuple[Set[str], str]]) -> dict[str, list[str]]:
    """The files of each page's pictures, each file once.

    Args:
        images: Sphinx's record, by path: the pages that show it, and its file's name.

    Returns:
        By page, without the Spanish pages, whose pictures show the same in other words.
    """
    found: dict[str, list[str]] = {}
    for pages, file in images.values():
        page = min((page for page in pages if not _is_spanish(page)), default=None)
        if page is not None:
            found.setdefault(page, []).append(file)
    return dict(sorted(found.items()))


def _is_spanish(page: str) -> bool:
    return page.startswith("lecture/diapositiva-") or page.endswith(".es")


def as_html(
    pictures: Mapping[str, list[str]], titles: Mapping[str, str], link: Callable[[str], str]
) -> str:
    """The pictures by section, each as a link to its page, with the page's title."""
    parts, left = [_STYLE], dict(pictures)
    for section, prefix in SECTIONS.items():
        own = {page: left.pop(page) for page in list(left) if page.startswith(prefix)}
        figures = [
            _figure(file, titles[page], link(page)) for page, files in own.items() for file in files
        ]
        if figures:
            parts.append(f'<h2>{section}</h2><div class="pictures">{"".join(figures)}</div>')
    return "".join(parts)


def _figure(file: str, title: str, address: str) -> str:
    title, address = escape(title), escape(address)
    image = f'<img loading="lazy" src="_images/{escape(file)}" alt="{title}">'
    return f'<figure><a href="{address}">{image}<figcaption>{title}</figcaption></a></figure>'


def _fill(
    app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if page == PAGE:
        titles = {name: title.astext() for name, title in app.env.titles.items()}

        def link(name: str) -> str:
            return app.builder.get_relative_uri(PAGE, name)

        context["body"] += as_html(pictures_by_page(app.env.images), titles, link)


def _is_never_up_to_date(*_: object) -> list[str]:
    """The gallery is written again whenever the site is: any page may have other pictures."""
    return [PAGE]


def setup(app: "Sphinx") -> dict[str, bool]:
    """When the page is written, all others have been read."""
    app.connect("env-get-outdated", _is_never_up_to_date)
    app.connect("html-page-context", _fill)
    return {"parallel_read_safe": True}
