"""How fast is PyTorch with transformers, used as its own Trainer would?

BertForSequenceClassification from the same weights; texts tokenised once, in advance; batches of
like length in the order of transformers' LengthGroupedSampler, each padded to its longest; AdamW
(fused, the Trainer's default with this PyTorch) without decay on biases and layer norms, linear
warm-up and decay, gradients clipped at norm 1, dropout as in the model's configuration.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
import transformers
from transformers.trainer_pt_utils import get_length_grouped_indices

from benchmarks.contestants import Given, Passed, samples
from nlp_export.glue import tasks

_WINDOWS_AT_LEAST = 4  # LengthGroupedSampler: at least 4 windows, of at most 50 batches.
_WINDOW_AT_MOST = 50
_WARM_UP_STEPS = 12


class Contestant:
  """PyTorch in float32, or under autocast to bfloat16."""

  def __init__(self, given: Given, bfloat16: bool = False):
    self._given = given
    self._bfloat16 = bfloat16
    self._tokenizer = transformers.AutoTokenizer.from_pretrained(given.hugging_face)
    self._model: Any = None
    self._optimizer: Any = None
    self._batches: list[dict[str, torch.Tensor]] = []

  def prepare(self, task: str) -> dict[str, Any]:
    """Loads, tokenises, and trains on some of the batches, from the longest to the shortest.

    Returns:
      'other_seconds' by name, and 'lengths': real tokens of each example.
    """
    times = {}
    started = time.perf_counter()
    torch.manual_seed(self._given.seed)
    self._model = transformers.BertForSequenceClassification.from_pretrained(
        self._given.hugging_face, num_labels=tasks.get(task).outputs)
    self._model.train()
    self._optimizer = torch.optim.AdamW(
        _groups(self._model), lr=self._given.learning_rate, eps=1e-6, fused=True)
    times['load'] = time.perf_counter() - started
    started = time.perf_counter()
    lengths = self._make_batches(task)
    times['tokenise'] = time.perf_counter() - started
    started = time.perf_counter()
    self._train(self._batches[::max(1, len(self._batches) // _WARM_UP_STEPS)])
    times['warm up'] = time.perf_counter() - started
    return {'other_seconds': times, 'lengths': lengths}

  def measure(self, task: str, round: int = 0) -> Passed:
    """Trains on every batch once; `prepare` came before."""
    del task, round
    started = time.perf_counter()
    losses = self._train(self._batches)
    seconds = time.perf_counter() - started
    masks = [batch['attention_mask'] for batch in self._batches]
    return Passed(
        seconds=seconds, steps=len(losses), examples=sum(len(mask) for mask in masks),
        tokens=sum(int(mask.sum()) for mask in masks), positions=sum(m.numel() for m in masks),
        losses=tuple(losses))

  def _make_batches(self, task: str) -> list[int]:
    train = samples.draw(task, self._given)[tasks.TRAIN]
    size = self._given.batch_size
    features = self._tokenizer(
        *(list(segment) for segment in train.texts), truncation=True,
        max_length=self._given.max_seq_length)
    lengths = [len(ids) for ids in features['input_ids']]
    order = get_length_grouped_indices(
        lengths, size, mega_batch_mult=window(tasks.get(task).split(tasks.TRAIN).rows, size),
        generator=torch.Generator().manual_seed(self._given.seed))
    self._batches = []
    for start in range(0, len(order), size):
      rows = order[start:start + size]
      batch = self._tokenizer.pad(
          [{name: values[row] for name, values in features.items()} for row in rows],
          return_tensors='pt')
      self._batches.append({**batch, 'labels': torch.tensor(
          [int(train.labels[row]) for row in rows])})  # type: ignore[index]
    return lengths

  def _train(self, batches: list[dict[str, torch.Tensor]]) -> list[float]:
    for group in self._optimizer.param_groups:
      group['initial_lr'] = self._given.learning_rate
    schedule = transformers.get_linear_schedule_with_warmup(
        self._optimizer, len(batches) // 10, len(batches))
    losses = []
    for batch in batches:
      with (torch.autocast('cpu', torch.bfloat16) if self._bfloat16
            else contextlib.nullcontext()):
        loss = self._model(**batch).loss
      loss.backward()
      torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
      self._optimizer.step()
      schedule.step()
      self._optimizer.zero_grad()
      losses.append(loss.detach())
    return [float(loss) for loss in losses]


def window(examples: int, batch_size: int) -> int:
  """Batches that LengthGroupedSampler sorts at a time, for a whole training set of that size."""
  return max(1, min(examples // (batch_size * _WINDOWS_AT_LEAST), _WINDOW_AT_MOST))


def _groups(model: Any) -> list[dict[str, Any]]:
  parameters = dict(model.named_parameters())
  plain = [name for name in parameters if name.endswith('bias') or 'LayerNorm' in name]
  return [{'params': [p for name, p in parameters.items() if name not in plain],
           'weight_decay': 0.01},
          {'params': [parameters[name] for name in plain], 'weight_decay': 0.0}]
