"""Where does an encoder to fine-tune come from? From a SavedModel, or built in Python.

    ExportArm    loads SavedModels by path, like any user; any of TF Hub's text API will do
    BaselineArm  TF-NLP's own encoder and tokenizer, restored from the checkpoint
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from nlp_export import files, poolers
from nlp_export.checkpoints import FoundCheckpoint
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.tokenizers import Tokenizer

if TYPE_CHECKING:
  from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder


class Arm(Protocol):
  """What FineTuning needs of an arm."""

  def key(self) -> str:
    """Equal for arms that differ in the values of variables alone: they share graphs."""

  def content_hashes(self) -> dict[str, str]:
    """SHA-256 of what is read, by role, for `Cell.content_hashes`."""

  def load(self) -> TrainableEncoder:
    """The encoder, ready to train."""

  def put_into(self, encoder: TrainableEncoder) -> None:
    """Makes an encoder, loaded by an arm of the same key, start where this arm starts."""


@dataclasses.dataclass(frozen=True)
class PoolerStart:
  """A pooler strategy, to be called again for another draw or another encoder.

  Attributes:
    function: see nlp_export/poolers.py.
    name: the reference as written in gin.
    arguments: that an export was made with, as its provenance says.
  """

  function: poolers.Pooler
  name: str
  arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @classmethod
  def of_provenance(
      cls, pooler: Mapping[str, Any], functions: Mapping[str, poolers.Pooler] | None = None
  ) -> PoolerStart:
    """The strategy that an export's provenance.json names.

    Args:
      pooler: its entry 'pooler'.
      functions: known ones by name as written in gin, besides those of nlp_export/poolers.py.

    Raises:
      RequestError: it is unknown.
    """
    name = pooler['name']
    function = (functions or {}).get(name) or _OWN.get(name.rpartition('.')[2])
    if function is None:
      raise RequestError(
          f"The export's pooler was made by {name!r}, which is not known here. Import its module "
          f"in the gin file and name it: --set POOLERS='(@poolers.{name},)'")
    return cls(function, name, dict(pooler.get('arguments') or {}))

  @property
  def draws(self) -> bool:
    """Whether it is random, so that another seed gives other weights."""
    return poolers.draws(self.function)

  def weights(
      self, width: int, seed: int | None = None, source: poolers.PoolerSource | None = None
  ) -> poolers.PoolerWeights | None:
    """The weights.

    Args:
      width: hidden size h.
      seed: of the draw, instead of the one in `arguments`.
      source: the checkpoint's own poolers, for those that read them.
    """
    drawn = {} if seed is None or not self.draws else {'seed': seed}
    return poolers.initialise(
        self.function, self.name, width, source, {**self.arguments, **drawn})


_OWN: Mapping[str, poolers.Pooler] = {
    function.__name__: function
    for function in (poolers.keep, poolers.copy_nsp, poolers.random, poolers.identity,
                     poolers.none)}


@dataclasses.dataclass(frozen=True)
class ExportArm:
  """SavedModels, by path.

  Attributes:
    model: directory of the encoder.
    preprocessing: directory of the preprocessing that belongs to it.
    pooler: to draw it anew for a cell with a pooler_seed; None to take it as it is always.
  """

  model: str
  preprocessing: str
  pooler: PoolerStart | None = None

  def key(self) -> str:
    """Hashes of the encoder's graph and of the preprocessing."""
    return ' '.join(('export', self._hash('saved_model.pb'), files.sha256(self.preprocessing)))

  def content_hashes(self) -> dict[str, str]:
    """'export graph', 'export variables' and 'preprocessing'."""
    return {'export graph': self._hash('saved_model.pb'),
            'export variables': self._hash('variables'),
            'preprocessing': self._hash('saved_model.pb', self.preprocessing),
            'preprocessing assets': self._hash('assets', self.preprocessing)}

  def _hash(self, part: str, model: str | None = None) -> str:
    place = files.join(model or self.model, part)
    return files.sha256(place) if files.exists(place) else ''

  def load(self) -> TrainableEncoder:
    """Loads both SavedModels; RequestError if they do not belong together."""
    from nlp_export import vocabularies
    from nlp_export.glue.fine_tuning import export_encoder

    vocabularies.refuse_other(self.model, self.preprocessing)
    return export_encoder.load(self.model, self.preprocessing, self.pooler)

  def put_into(self, encoder: TrainableEncoder) -> None:
    """Reads the variables' values from this arm's SavedModel."""
    from nlp_export.glue.fine_tuning import export_encoder

    export_encoder.put_values(self.model, self.pooler, encoder)


@dataclasses.dataclass(frozen=True)
class BaselineArm:
  """TF-NLP's encoder built in Python; it shares no code with what writes SavedModels.

  Attributes:
    checkpoint: to restore.
    encoder: what to build.
    tokenizer: its text goes through TF-NLP's own layers.
    item_names: canonical item -> name in the checkpoint.
    pooler: of the export that this is the baseline of; None for an encoder without.
  """

  checkpoint: FoundCheckpoint
  encoder: EncoderSpec | BuiltEncoder
  tokenizer: Tokenizer
  item_names: Mapping[str, str]
  pooler: PoolerStart | None

  def key(self) -> str:
    """All but the pooler: it is the one thing that `put_into` changes."""
    return ' '.join(('baseline', self.checkpoint.path, repr(self.encoder), repr(self.tokenizer),
                     repr(sorted(self.item_names.items()))))

  def content_hashes(self) -> dict[str, str]:
    """'checkpoint' and 'tokenizer'."""
    from nlp_export.glue.cells import canonical_json

    asset = self.tokenizer.asset_file
    hashes = {files.basename(path): files.sha256(path) for path in self.checkpoint.files}
    return {'checkpoint': canonical_json(hashes),
            'tokenizer': files.sha256(asset) if asset else self.tokenizer.description()}

  def load(self) -> TrainableEncoder:
    """Builds and restores the encoder."""
    from nlp_export.glue.fine_tuning import baseline_encoder

    return baseline_encoder.load(self)

  def put_into(self, encoder: TrainableEncoder) -> None:
    """Gives the encoder this arm's pooler."""
    encoder.pooler = self.pooler
    encoder.take_pooler_weights()
