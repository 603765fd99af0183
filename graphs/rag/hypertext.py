"""HTML: what a person would read of a page, under its headings.

Place in the path: one reader among those of `graphs.rag.files`. It goes through the page once, tag
by tag, so that neither depth nor broken markup costs it anything; it loads nothing, runs no script,
and leaves out what is not the page's text (scripts, styles, navigation, forms' controls).
"""

from html.parser import HTMLParser

from graphs.rag.reading import SPACES, Reading, Writer

SKIPPED = {"script", "style", "noscript", "template", "svg", "math", "nav", "iframe", "object"}
SKIPPED |= {"select", "button", "textarea", "audio", "video", "canvas", "head"}
BLOCKS = {"p", "div", "section", "article", "main", "header", "footer", "aside", "blockquote"}
BLOCKS |= {"ul", "ol", "dl", "li", "dt", "dd", "table", "tr", "caption", "figure", "figcaption"}
BLOCKS |= {"pre", "address", "details", "summary", "hr", "form", "fieldset", "body", "html"}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
CELLS = {"td", "th"}
NEVER_CLOSED = {"br", "hr", "img", "input", "meta", "link", "wbr", "source", "col", "area"}


def read_html(text: str) -> Reading:
    """The page's paragraphs; the title is that of its `<title>`, or its first `<h1>`.

    Raises Unreadable for a page without words.
    """
    page = _Page()
    page.feed(text)
    page.close()
    page.end()
    return page.writer.reading("html", page.title or page.first_heading)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.writer = Writer()
        self.title = ""
        self.first_heading: str | None = None
        self._text: list[str] = []
        self._heading: int | None = None
        self._skipped: str | None = None
        self._depth = 0
        self._in_title = False
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag == "title":
            self._in_title = not self.title
        elif tag == "body":
            self._skipped = None  # a head that nobody closed
        if self._skipped is None:
            self._begin(tag)
        else:
            self._depth += tag == self._skipped

    def _begin(self, tag: str) -> None:
        if tag in SKIPPED:
            self._skipped, self._depth = tag, 1
        elif tag == "br":
            self._text.append("\n")
        elif tag in CELLS:
            self._text.append(" | " if self._has_text() else "")
        elif tag in HEADINGS:
            self.end()
            self._heading = HEADINGS[tag]
        elif tag in BLOCKS:
            self.end()
            self._verbatim += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in NEVER_CLOSED:
            self.handle_starttag(tag, attrs)
        # Others are not closed by a slash in HTML, and empty where they are (XHTML).

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if self._skipped is not None:
            self._depth -= tag == self._skipped
            if self._depth <= 0:
                self._skipped = None
        elif tag in HEADINGS or tag in BLOCKS:
            self.end()
            self._verbatim = max(0, self._verbatim - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif self._skipped is None:
            self._text.append(data if self._verbatim else SPACES.sub(" ", data))

    def end(self) -> None:
        """Whatever paragraph or heading was open is over."""
        text, level = "".join(self._text), self._heading
        self._text, self._heading = [], None
        if not self._verbatim:
            text = "\n".join(SPACES.sub(" ", line).strip() for line in text.split("\n"))
        if level is None:
            self.writer.paragraph(text)
        elif text.strip():
            self.first_heading = self.first_heading or text.strip()
            self.writer.heading(level, text)

    def _has_text(self) -> bool:
        return any(piece.strip() for piece in self._text)
