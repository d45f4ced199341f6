"""What does a converted checkpoint say about itself, and how is it loaded?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_export.checkpoints import conversion_record
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.converting.request import HUGGING_FACE, ORBAX, TF2
from nlp_export.saved_models.verification.report import PASSED, VerificationReport

_TITLES = {TF2: 'TF2 checkpoint', ORBAX: 'Orbax checkpoint', HUGGING_FACE: 'Hugging Face folder'}

_ERF = """
`encoder.yaml` names the activation `gelu_erf`, the exact form, which TF-NLP has no name for: it
refuses the file. With nlp_export installed, `import nlp_export.encoder_config.activations` makes it
known as `nlp_export>gelu_erf`: write that name. Do not write `gelu`, which is another function
there (the tanh form).
"""

_TF2_USE = """```python
import tensorflow as tf
from official.nlp.modeling import models

# network: built by official.nlp.configs.encoders.build_encoder from encoder.yaml.
pretrainer = models.BertPretrainerV2(network, mlm_activation=...)  # {mlm}
checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
checkpoint.read('ckpt').expect_partial()
```
"""

_ORBAX_USE = """Give the directory `checkpoints` as `CHECKPOINT`, or as `INITIAL_CHECKPOINT` of a
pre-training: it brings its configuration, vocabulary and activations along. Each item is a nested
dict of arrays, which Orbax's own `StandardRestore()` reads.
"""

_HUGGING_FACE_USE = """```python
import transformers

model = transformers.{architecture}.from_pretrained('.')
tokenizer = transformers.AutoTokenizer.from_pretrained('.')
```
"""


def render(record: Mapping[str, Any], report: VerificationReport) -> str:
  """The text of README.md.

  Args:
    record: what is written to provenance.json.
    report: of the comparison, passed.
  """
  checkpoint, encoder = record['checkpoint'], record['encoder']
  lines = [
      f'# {_TITLES[record["to"]]} of {checkpoint["name"]}',
      '',
      f'Converted from {checkpoint["name"]} ({checkpoint["format"]}); the encoder is a '
      f'{encoder["type"]} from {encoder["source"]}.',
      '',
      f'- **Holds:** {", ".join(record["items"])}'
      + ('' if record['has_pooler'] else "; the encoder's own pooler is not among it") + '.']
  if record['mlm_activation']:
    lines.append(f'- **Masked-LM activation:** {record["mlm_activation"]}.')
  lines += [f'- **Note:** {line}.' for line in record['left_out']]
  tokenizer = record['tokenizer']
  if tokenizer:
    lines.append(f'- **Tokenizer:** {tokenizer["description"]}')
    if record['to'] == HUGGING_FACE:
      lines.append(
          "  transformers' tokenizer of the same kind is another program, which can give other ids "
          'for rare characters (spaces beyond ASCII, control characters, letters such as ß).')
  measured = [check for check in report.checks if check.tolerance is not None]
  found = ', '.join(f'{check.name.partition(".")[2]} to {check.value:.1e}' for check in measured)
  lines.append(
      f'- **Verified:** {report.count(PASSED)} checks passed on the written files, built from '
      f'their own configuration; outputs equal the source: {found}. See '
      '`assets.extra/verification.json`.')
  lines += ['', '## Use', '', _use(record)]
  return '\n'.join(lines)


def _use(record: Mapping[str, Any]) -> str:
  if record['to'] == ORBAX:
    return _ORBAX_USE
  if record['to'] == HUGGING_FACE:
    kind = 'AutoModelForMaskedLM' if record['mlm_activation'] else 'AutoModel'
    return _HUGGING_FACE_USE.format(architecture=kind)
  mlm = record['mlm_activation']
  activations = [v for k, v in record['encoder'].get('config', {}).items()
                 if k.endswith('_activation')]
  erf = _ERF if 'gelu_erf' in (*activations, mlm) else ''
  use = _TF2_USE.format(mlm=f'here: {mlm}' if mlm else 'there is no such head in this file')
  return (f'{use}\nHere the prefix alone is enough as `CHECKPOINT`: '
          f'`{conversion_record.RECORD_FILE}` says which of the files beside it '
          f'(`{layout.ENCODER_FILE}` and others) belong to it.\n{erf}')
