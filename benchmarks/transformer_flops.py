"""How many floating-point operations does training on a batch of text need?

Counted from the shapes of BERT's matrix products, a multiplication and an addition being two:

    Q, K, V and attention output   4 products [n, h] x [h, h]             8 n h^2
    feed-forward                   [n, h] x [h, i] and [n, i] x [i, h]    4 n h i
    attention scores and their sum [n, h/a] x [h/a, n], [n, n] x [n, h/a] 4 n^2 h   (all a heads)

for a layer and an example of n real tokens; the pooler adds 2 h^2 and the head 2 h c for each
example. The backward pass does every product twice (for its input and for its weight), so training
needs three times the forward pass. Embedding look-ups, layer norms, softmax, dropout, the
activation and the optimizer are left out, and so is padding: it is work that training could do
without. So a share of the machine's rate that is computed from this errs to the low side.

MiniLM (6 layers, h = 384, i = 1536): 3 x 6 x (8 h^2 + 4 h i) = 63.7 million for a token, and
3 x 6 x 4 h n = 27,648 n more for a token of an example of n.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

_FORWARD_AND_BACKWARD = 3


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes of a BERT encoder with a classification head.

  Attributes:
    hidden_size: h.
    intermediate_size: i.
    num_layers: Transformer layers.
    outputs: c, of the head.
  """

  hidden_size: int
  intermediate_size: int
  num_layers: int
  outputs: int = 2

  @classmethod
  def of_hugging_face(cls, directory: str | Path, outputs: int = 2) -> Shape:
    """Reads config.json of a Hugging Face directory."""
    config = json.loads((Path(directory) / 'config.json').read_text(encoding='utf-8'))
    return cls(config['hidden_size'], config['intermediate_size'], config['num_hidden_layers'],
               outputs)

  def training_flops(self, lengths: Iterable[int]) -> int:
    """Operations of forward and backward pass over examples of so many real tokens each."""
    h, i = self.hidden_size, self.intermediate_size
    forward = 0
    for n in lengths:
      forward += self.num_layers * (8 * n * h * h + 4 * n * h * i + 4 * n * n * h)
      forward += 2 * h * h + 2 * h * self.outputs
    return _FORWARD_AND_BACKWARD * forward
