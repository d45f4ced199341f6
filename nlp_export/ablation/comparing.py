"""Do the export and the baseline compute the same before they are trained?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlp_export import files, names
from nlp_export.ablation.arms import BASELINE, EXPORT
from nlp_export.ablation.built_arms import BuiltArm
from nlp_export.ablation.planning import Prepared
from nlp_export.experiment import Run
from nlp_export.glue import agreement, tasks
from nlp_export.glue.agreement import TOLERANCE, Agreement
from nlp_export.glue.cells import canonical_json
from nlp_export.glue.tasks import TRAIN, Task
from nlp_export.running.once import once

__all__ = ['TOLERANCE', 'before_training']

FILE = 'glue/agreement.json'


def before_training(prepared: Prepared, run: Run) -> dict[str, Agreement]:
  """Compares each baseline with the export that it is the baseline of, pooler by pooler.

  One process does it and writes glue/agreement.json; a run that goes on reads what passed there.

  Returns:
    Pooler (with the arms' names, where they are not just 'export' and 'baseline') -> agreement.
  """
  pairs = _pairs(prepared, run.out_dir)
  path = files.join(run.out_dir, FILE)
  key = canonical_json({label: [built.arm.content_hashes() for built in both]
                        for label, both in pairs.items()})
  found: dict[str, Agreement] = {}

  def stored() -> bool:
    value = files.read_json(path) if files.exists(path) else {}
    if value.get('key') != key or not all(a['passed'] for a in value['agreement'].values()):
      return False
    found.update({label: Agreement.from_json(a) for label, a in value['agreement'].items()})
    return True

  def work() -> None:
    for label, both in pairs.items():
      with run.step(f'compare before training, {label}'):
        found[label] = _compare(prepared, both)
    files.write_json(path, {'schema_version': 1, 'key': key, 'agreement': {
        label: result.to_json() for label, result in found.items()}})

  if pairs:
    once(files.join(run.out_dir, names.CLAIMS_DIR), 'agreement', lambda: bool(found) or stored(),
         work, say=run.say)
  for label, result in found.items():
    for i, line in enumerate(result.lines()):
      run.say(line if i else f'{label}: {line}')
  return found


def _pairs(prepared: Prepared, out_dir: str) -> dict[str, tuple[BuiltArm, BuiltArm]]:
  """Each baseline with the first arm of the same export, by the label for people."""
  found: dict[str, tuple[BuiltArm, BuiltArm]] = {}
  every = prepared.built(out_dir)
  for baseline in every:
    if baseline.named.built != BASELINE:
      continue
    source = prepared.sources[baseline.named.name]
    for export in every:
      if (export.named.built == EXPORT and export.pooler == baseline.pooler
          and prepared.sources[export.named.name] is source):
        arms = (export.named.name, baseline.named.name)
        label = export.pooler if arms == (EXPORT, BASELINE) else (
            f'{export.pooler} ({" and ".join(arms)})')
        found[label] = (export, baseline)
        break
  return found


def _compare(prepared: Prepared, both: tuple[BuiltArm, BuiltArm]) -> Agreement:
  task = compared_task(prepared.study.tasks)
  texts, labels = agreement.choose(prepared.splits(task.name)[TRAIN])
  export, baseline = (built.arm.load() for built in both)
  return agreement.compare(
      export, baseline, texts, labels, task, both[0].named.recipe,
      arms=(both[0].named.name, both[1].named.name))


def compared_task(names: Sequence[str]) -> Task:
  """The task whose examples are compared: the first one of pairs, which show packing and types."""
  return max((tasks.get(name) for name in names), key=lambda task: task.segments)


def summary(found: Mapping[str, Agreement]) -> list[str]:
  """What differs, for the last lines."""
  lines = []
  for label, result in found.items():
    if not result.passed:
      first, *rest = result.lines()
      lines += [f'{label}: {first}', *rest]
  return lines
