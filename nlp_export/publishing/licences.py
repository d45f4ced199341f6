"""Which licences does the Hugging Face Hub know? It refuses a card that names another one.

Source: https://huggingface.co/docs/hub/repositories-licenses. It grows by a few in a year.
"""

from __future__ import annotations

import difflib
import re

from nlp_export.errors import RequestError

HUGGING_FACE_LICENCES = frozenset("""
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0
    cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
    eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research
    intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0
    openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    grok2-community gemma unknown other
""".split())

OTHER = 'other'
# A link within the repository: the Hub shows these files.
_FILES = ('LICENSE', 'LICENSE.md')
_IDENTIFIER = re.compile(r'[a-z0-9][a-z0-9.+-]*')


def check(licence: str) -> None:
  """Refuses what the Hub does not know.

  Args:
    licence: an identifier, 'apache-2.0'.

  Raises:
    RequestError: it is none.
  """
  if licence in HUGGING_FACE_LICENCES:
    return
  close = difflib.get_close_matches(licence, sorted(HUGGING_FACE_LICENCES), 2) or [
      f'{OTHER} --set LICENCE_NAME={licence} --set LICENCE_LINK=https://...']
  raise RequestError(
      f'LICENCE is {licence!r}, which is none of the {len(HUGGING_FACE_LICENCES)} identifiers that '
      'the Hugging Face Hub takes (huggingface.co/docs/hub/repositories-licenses). Write '
      + ' or '.join(f'--set LICENCE={name}' for name in close))


def check_other(licence: str, name: str | None, link: str | None) -> None:
  """Refuses a licence of one's own that the Hub cannot name, or a name for one that it knows.

  Args:
    licence: an identifier that `check` passes.
    name: the Hub's `license_name`; None for none.
    link: its `license_link`, likewise.

  Raises:
    RequestError: so.
  """
  if licence != OTHER:
    if name or link:
      raise RequestError(
          f'LICENCE is {licence!r}, and LICENCE_NAME and LICENCE_LINK are for a licence that the '
          f'Hugging Face Hub does not know. Leave them out, or write --set LICENCE={OTHER}')
    return
  if not name or not link:
    raise RequestError(
        f'LICENCE is {OTHER!r}, which tells nobody what they may do: the Hugging Face Hub asks for '
        'the name of the licence and for where its text is. Write --set LICENCE_NAME=of-our-house '
        '--set LICENCE_LINK=https://...')
  if not _IDENTIFIER.fullmatch(name) or name in HUGGING_FACE_LICENCES:
    raise RequestError(
        f'LICENCE_NAME is {name!r}. It is an identifier in lower case that the Hugging Face Hub '
        'does not have yet: write --set LICENCE_NAME=of-our-house')
  if not is_file(link) and not re.fullmatch(r'https?://[^\s]+', link):
    raise RequestError(
        f'LICENCE_LINK is {link!r}. Write the address of its text, --set LICENCE_LINK=https://..., '
        f'or {" or ".join(_FILES)} for a file of that name in each SavedModel')


def is_file(link: str) -> bool:
  """Whether a LICENCE_LINK is that of a file in the repository."""
  return link in _FILES
