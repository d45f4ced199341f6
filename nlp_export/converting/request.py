"""What is to be converted into what, and what can be refused before any work?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from nlp_export import checkpoints, files, names
from nlp_export.converting import hugging_face_files
from nlp_export.encoder_config import support
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.tokenizers import Tokenizer

# Values of TO, and names of the directories below CONVERTED_DIR.
TF2, ORBAX, HUGGING_FACE = 'tf2', 'orbax', 'hugging_face'
TARGETS = (TF2, ORBAX, HUGGING_FACE)
CONVERTED_DIR = 'converted'
# Within the directory of a target: what CHECKPOINT takes.
_CHECKPOINTS = {TF2: 'ckpt', ORBAX: 'checkpoints', HUGGING_FACE: ''}

# Values of POOLER_FROM.
FROM_ENCODER, FROM_NEXT_SENTENCE = 'encoder', 'next_sentence'


@dataclasses.dataclass(frozen=True)
class ConversionRequest:
  """One conversion.

  Attributes:
    checkpoint: the source.
    encoder: what its weights belong to.
    tokenizer: that goes along; None: none does (TF2 alone).
    to: of TARGETS.
    item_names: canonical item -> its name in the source.
    mlm_activation: of the masked LM head.
    masked_lm: whether the head is converted; None: if the source has it.
    pooler_from: FROM_ENCODER or FROM_NEXT_SENTENCE: which of two poolers a Hugging Face folder's
      only one becomes; None where there is nothing to choose.
    remarks: what the card should say besides.
  """

  checkpoint: checkpoints.FoundCheckpoint
  encoder: EncoderSpec | BuiltEncoder
  tokenizer: Tokenizer | None
  to: str
  item_names: Mapping[str, str]
  mlm_activation: str
  masked_lm: bool | None = None
  pooler_from: str | None = None
  remarks: tuple[str, ...] = ()

  @property
  def destination(self) -> str:
    """The directory, below out_dir."""
    return files.join(CONVERTED_DIR, self.to)

  def converted(self, directory: str) -> str:
    """What to give as CHECKPOINT, once `directory` is written."""
    inner = _CHECKPOINTS[self.to]
    return files.join(directory, inner) if inner else directory


def check(request: ConversionRequest) -> None:
  """Refuses what cannot be converted whatever the weights are.

  Raises:
    RequestError: an encoder that cannot be restored and verified, or that the target has no name
      for; a tokenizer that the target cannot describe; a choice without a question.
  """
  spec = request.encoder
  refused = support.refusal(spec, names.MODEL)
  if refused:
    raise RequestError(
        f'The {spec.type} encoder from {spec.source} cannot be converted: {refused.reason}. '
        f'{refused.instead}')
  if request.pooler_from is not None and request.to != HUGGING_FACE:
    raise RequestError(
        f'POOLER_FROM is {request.pooler_from!r}, which chooses what the only pooler of a Hugging '
        f"Face folder becomes, but TO is {request.to!r}, which has a name for the encoder's and "
        'for that of the next-sentence head. Leave POOLER_FROM out.')
  if request.to == HUGGING_FACE:
    hugging_face_files.check(spec, request.tokenizer)
