"""What is to be verified, and what does its maker know about it?

Plain data that crosses to the worker as JSON. Whatever is None is 'not told': the check that
would need it looks at the SavedModel alone. A stranger's export has no expectation at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nlp_export.encoder_config.sequence_form import SequenceForm
from nlp_export.saved_models.verification.registry import Kind

TANH = 'tanh'
CLS = 'cls'


@dataclasses.dataclass(frozen=True)
class EncoderExpectation:
  """What the maker of an encoder export knows.

  Attributes:
    reference_file: .npz written by `reference.save_reference`: input batches and the outputs of
      the restored encoder on them; '' for none.
    trainable: name, shape, dtype and SHA-256 of each trainable variable, in order
      (`reference.describe_variables`).
    mlm_head: the same of the head's five, as they follow the root's in `.mlm`'s list; None if
      there is none.
    has_mlm: whether there is a `.mlm`.
    mlm_activation: 'gelu' (tanh form), 'gelu_erf', 'relu', 'tanh', 'swish' ... of the head.
    pooler: 'tanh' for tanh(CLS W + b), 'cls' if there is no pooled_output and default is [CLS].
    num_layers, hidden_size, max_positions, type_vocab_size: of the encoder.
    sequence: which lengths the encoder takes and how many vectors each layer returns.
    inexact_padding: why padding changes the outputs at real positions, where the network is made
      so; '' where it does not.
    embeddings_first: whether encoder_outputs starts with the embeddings.
    dropout: whether training=True drops anything.
    training_effect: what training=True changes besides dropout, by the network's definition; ''
      for nothing.
    dropout_state: whether there is a `dropout_state` variable, as our exports have.
    asset_sha256: SHA-256 of each file in assets/, by base name.
    lower_case: value of `do_lower_case` (WordPiece), else None.
    tokenizer: 'wordpiece', 'sentencepiece', or 'none' for an encoder without one.
  """

  reference_file: str = ''
  trainable: tuple[Mapping[str, Any], ...] | None = None
  mlm_head: tuple[Mapping[str, Any], ...] | None = None
  has_mlm: bool | None = None
  mlm_activation: str | None = None
  pooler: str | None = None
  num_layers: int | None = None
  hidden_size: int | None = None
  max_positions: int | None = None
  type_vocab_size: int | None = None
  sequence: SequenceForm | None = None
  inexact_padding: str = ''
  embeddings_first: bool = False
  dropout: bool | None = None
  training_effect: str = ''
  dropout_state: bool | None = None
  asset_sha256: Mapping[str, str] | None = None
  lower_case: bool | None = None
  tokenizer: str | None = None

  def __post_init__(self) -> None:
    if isinstance(self.sequence, Mapping):  # As it comes from JSON.
      object.__setattr__(self, 'sequence', SequenceForm(**self.sequence))


@dataclasses.dataclass(frozen=True)
class PreprocessingExpectation:
  """What the maker of a preprocessing export knows.

  Attributes:
    reference_file: .npz written by `reference.save_token_ids`: texts and the ids that the
      training-time tokenizer gives for them; '' for none.
    tokenizer: 'wordpiece' or 'sentencepiece'.
    lower_case: whether text is lower-cased.
    default_seq_length: of the root and of bert_pack_inputs.
    offsets: whether there is a tokenize_with_offsets.
    truncator: 'round_robin' or 'waterfall'.
    num_segments: the most segments that bert_pack_inputs takes.
    no_assert: whether Assert nodes must be absent.
    special_tokens: the exact value of get_special_tokens_dict().
    unknown_token: of a WordPiece vocabulary, where it has another name than '[UNK]'.
    asset_sha256: SHA-256 of each file in assets/, by base name.
  """

  reference_file: str = ''
  tokenizer: str | None = None
  lower_case: bool | None = None
  default_seq_length: int | None = None
  offsets: bool | None = None
  truncator: str | None = None
  num_segments: int | None = None
  no_assert: bool | None = None
  special_tokens: Mapping[str, int] | None = None
  unknown_token: str | None = None
  asset_sha256: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class TextEmbeddingExpectation:
  """What the maker of a text embedding export knows.

  Attributes:
    reference_file: .npz written by `text_reference.save`: texts, their ids and their vectors, as
      the restored encoder, called on one text at a time, gives them; '' for none.
    trainable, dropout, training_effect, dropout_state, asset_sha256: as of an encoder.
    dim: length of the vectors.
    normalize: whether their length is 1.
    max_seq_length: most tokens of a text, special ones included.
    fixed_length: the only seq_length that the encoder inside takes; None: any.
    pads: whether rows are always `max_seq_length` long, because padding changes the outputs.
    special_tokens: the exact value of tokenize.get_special_tokens_dict().
  """

  reference_file: str = ''
  trainable: tuple[Mapping[str, Any], ...] | None = None
  dropout: bool | None = None
  training_effect: str = ''
  dropout_state: bool | None = None
  asset_sha256: Mapping[str, str] | None = None
  dim: int | None = None
  normalize: bool | None = None
  max_seq_length: int | None = None
  fixed_length: int | None = None
  pads: bool = False
  special_tokens: Mapping[str, int] | None = None


@dataclasses.dataclass(frozen=True)
class ClassifierExpectation:
  """What the maker of a classifier knows.

  Attributes:
    reference_file: .npz written by `reference.save_text_vectors`: the first texts of all examples,
      then the second ones, and the logits of the model as it was trained; '' for none.
    trainable, asset_sha256: as of an encoder.
    dropout: whether training=True drops anything, in the encoder or before the head.
    segments: 1, or 2 for pairs of texts.
    labels: names of the classes; None for a regression.
    max_seq_length, pads: as of a text embedding.
    regularization: values of the regularization losses of the model as it was trained; None if
      nobody has said.
  """

  reference_file: str = ''
  trainable: tuple[Mapping[str, Any], ...] | None = None
  dropout: bool | None = None
  asset_sha256: Mapping[str, str] | None = None
  segments: int | None = None
  labels: tuple[str, ...] | None = None
  max_seq_length: int | None = None
  pads: bool = False
  regularization: tuple[float, ...] | None = None


Expectation = (EncoderExpectation | PreprocessingExpectation | TextEmbeddingExpectation
               | ClassifierExpectation)
# By the type of SavedModel that each is of.
EXPECTATIONS: Mapping[Kind, type[Any]] = {
    Kind.ENCODER: EncoderExpectation,
    Kind.PREPROCESSING: PreprocessingExpectation,
    Kind.TEXT_EMBEDDING: TextEmbeddingExpectation,
    Kind.CLASSIFIER: ClassifierExpectation,
}


@dataclasses.dataclass(frozen=True)
class Job:
  """One SavedModel to verify.

  Attributes:
    path: its directory (local, or remote for a stranger's).
    name: what to call it in reports; the path if ''.
    expected: what its maker knows; None for a stranger's export, of which GOALs and the known
      defects of the reference exporter may fail.
    build_paths: paths of vocabulary, checkpoint, temporary and destination directories that must
      not occur in any file of the export.
    movable: the directory may be renamed while it is verified (a staged export of ours). Else a
      copy elsewhere is verified.
    encoder: name of the job of the encoder to which this preprocessing belongs, for the checks of
      the pair; '' for none.
    strangers: the graph is a stranger's although something is expected of it, because only values
      of variables are ours: GOALs and known defects may fail then, too.
  """

  path: str
  name: str = ''
  expected: Expectation | None = None
  build_paths: tuple[str, ...] = ()
  movable: bool = False
  encoder: str = ''
  strangers: bool = False

  @property
  def ours(self) -> bool:
    """Whether everything must pass."""
    return self.expected is not None and not self.strangers

  @property
  def label(self) -> str:
    """The name in reports."""
    return self.name or self.path

  def to_json(self) -> dict[str, Any]:
    """JSON-able fields."""
    fields = dataclasses.asdict(self)
    if self.expected is not None:
      fields['kind'] = next(
          kind.value for kind, made in EXPECTATIONS.items() if isinstance(self.expected, made))
    return fields

  @classmethod
  def from_json(cls, fields: Mapping[str, Any]) -> Job:
    """The inverse of `to_json`."""
    fields = dict(fields)
    kind = fields.pop('kind', None)
    if kind is not None:
      fields['expected'] = EXPECTATIONS[Kind(kind)](**fields['expected'])
    return cls(**{**fields, 'build_paths': tuple(fields['build_paths'])})
