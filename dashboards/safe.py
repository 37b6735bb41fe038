"""Text from outside (errors, names, reasons) as Streamlit shows it: never as markup."""

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$:^=&/@])")


def plain(text: object) -> str:
    """The text so that Streamlit shows it as it is, on one line: no link, picture, colour, icon or formula."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))
