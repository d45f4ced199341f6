"""How do the poolings compare, with each other and with the document's figure?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.glue.tasks import ACCURACY, F1
from nlp_export.question_pairs.request import Request

SCHEMA_VERSION = 1

# Antyukhov 2019, "Fine-tuning BERT with Keras and tf.Module", step 6.
DOCUMENT = {
    'accuracy': 0.8831,
    'text': '88.3 % (epoch 5: 0.8831)',
    'model': 'BERT-base (12 layers, 768 wide), its last 3 layers',
    'data': 'Quora Question Pairs, 323,432 pairs to train on, 80,858 to validate',
    'epochs': 5,
    'train_examples': 323_432,
    'dev_examples': 80_858,
    'num_layers': 12,
    'width': 768,
    'trainable_layers': 3,
}


def differences(request: Request, result: Mapping[str, Any]) -> list[str]:
  """How a run differs from the document's, a sentence each."""
  found = []
  if (result['num_layers'], result['width']) != (DOCUMENT['num_layers'], DOCUMENT['width']):
    found.append(f'The encoder has {result["num_layers"]} layers of width {result["width"]}; '
                 'BERT-base has 12 of 768.')
  if request.trainable_layers != DOCUMENT['trainable_layers']:
    layers = 'all' if request.trainable_layers is None else f'the last {request.trainable_layers}'
    found.append(f'Trained are {layers} of its layers; there the last 3.')
  if request.task != 'qqp':
    found.append(f'The pairs are those of {request.task.upper()}, not of QQP: another task, whose '
                 'scores cannot be compared with the figure.')
  numbers = result['train_examples'], result['dev_examples']
  if numbers != (DOCUMENT['train_examples'], DOCUMENT['dev_examples']):
    split = "; GLUE's split of QQP is another one" if request.task == 'qqp' else ''
    found.append(f'{numbers[0]:,} pairs to train on and {numbers[1]:,} to validate; there 323,432 '
                 f'and 80,858{split}.')
  if request.epochs != DOCUMENT['epochs']:
    found.append(f'{request.epochs} epoch{"s"[:request.epochs > 1]}; there 5.')
  found.append('The document does not say its learning rate, batch size and length: here '
               f'{request.learning_rate:g}, {request.batch_size} and {request.max_seq_length}.')
  return found


def lines(request: Request, results: Sequence[Mapping[str, Any]]) -> list[str]:
  """The last lines on the screen."""
  name = request.task.upper()
  found = [f'validation accuracy on {name} after {request.epochs} epoch'
           f'{"s"[:request.epochs > 1]} (always the same label: '
           f'{results[0]["constant_scores"][ACCURACY]:.1%}):']
  width = max(len(result['pooling']) for result in results)
  for result in sorted(results, key=lambda one: -one['metrics'][ACCURACY]):
    line = f'  {result["pooling"]:<{width}}  {result["metrics"][ACCURACY]:.1%}'
    if F1 in result['metrics']:
      line += f'  F1 {result["metrics"][F1]:.1%}'
    if result['predicts_one_label']:
      line += '  (has learnt nothing: one label for all)'
    found.append(line)
  found.append(f'the document: {DOCUMENT["text"]} with {DOCUMENT["model"]}, on {DOCUMENT["data"]}, '
               'pooling cls or another: it does not say.')
  return found + [f'differs: {sentence}' for sentence in differences(request, results[0])]


def markdown(request: Request, results: Sequence[Mapping[str, Any]]) -> str:
  """report.md."""
  rows = ['| pooling | accuracy | F1 | validation loss | trained weights | seconds |',
          '|---|---|---|---|---|---|']
  for result in results:
    f1 = f'{result["metrics"][F1]:.1%}' if F1 in result['metrics'] else ''
    note = ' (one label for all)' if result['predicts_one_label'] else ''
    rows.append(
        f'| {result["pooling"]} | {result["metrics"][ACCURACY]:.1%}{note} | {f1} | '
        f'{result["history"][-1]["val_loss"]:.4f} | {result["trained_weights"]:,} of '
        f'{result["weights"]:,} | {result["seconds"]:.0f} |')
  rows.append(f'| the document | {DOCUMENT["text"]} | | 0.2957 | | 16,109 |')
  majority = results[0]['constant_scores'][ACCURACY]
  points = '\n'.join(f'- {sentence}' for sentence in differences(request, results[0]))
  table = '\n'.join(rows)
  return f"""# Pairs of texts: each pooling of one encoder

{request.task.upper()}, one run a pooling with seed {request.seed}; always saying the same label
scores {majority:.1%}. Differences of a few points between poolings are within what another seed
changes; gin/runs/pooler_ablation.gin measures that.

{table}

How this differs from the document (Antyukhov 2019, "Fine-tuning BERT with Keras and tf.Module"):

{points}
"""


def to_json(request: Request, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """results.json."""
  return {'schema_version': SCHEMA_VERSION, 'task': request.task, 'seed': request.seed,
          'document': DOCUMENT, 'differences': differences(request, results[0]),
          'poolings': list(results)}
