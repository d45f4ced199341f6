"""How long does an export take, and how much memory, beside the reference exporter?

    python -m benchmarks.export minilm     3 poolers x {model, model_with_mlm} + preprocessing
    python -m benchmarks.export large      one model of BERT-large's size

A checkpoint with random weights is written by TF-NLP's own BertPretrainerV2; then the reference,
official/nlp/tools/export_tfhub.py, and run.py are started as commands on it. The reference has no
identity pooler, so its third pooler is a run without a flag: the same work. It verifies nothing;
run.py verifies everything.
"""

from __future__ import annotations

import argparse
import json
import os
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = {
    'minilm': dict(hidden_size=384, num_layers=6, num_attention_heads=12, intermediate_size=1536),
    'large': dict(hidden_size=1024, num_layers=24, num_attention_heads=16, intermediate_size=4096),
}
VOCAB_SIZE = 30522


def write_inputs(directory: Path, size: dict[str, int]) -> dict[str, str]:
  """Writes checkpoint, configuration and vocabulary in a process of its own."""
  subprocess.run([sys.executable, '-c', _WRITER, str(directory), json.dumps(size)], check=True,
                 env=_environment())
  letters = [f'##{c}' for c in string.ascii_lowercase]
  words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *string.ascii_lowercase, *letters]
  words += [f'word{i}' for i in range(VOCAB_SIZE - len(words))]
  (directory / 'vocab.txt').write_text('\n'.join(words) + '\n')
  return {'checkpoint': str(directory / 'ckpt-1'), 'config': str(directory / 'encoder.yaml'),
          'vocab': str(directory / 'vocab.txt')}


_WRITER = """
import json, sys
import tensorflow as tf
from official.modeling.hyperparams import params_dict
from official.nlp.configs import encoders
from official.nlp.modeling import layers, models
directory, size = sys.argv[1], json.loads(sys.argv[2])
config = encoders.EncoderConfig(type='bert')
config.bert.override(size)
params_dict.save_params_dict_to_yaml(config, directory + '/encoder.yaml')
encoder = encoders.build_encoder(config)
head = layers.ClassificationHead(size['hidden_size'], 2, name='next_sentence')
pretrainer = models.BertPretrainerV2(encoder, mlm_activation='gelu', classification_heads=[head])
pretrainer(pretrainer.inputs)
tf.train.Checkpoint(**pretrainer.checkpoint_items).save(directory + '/ckpt')
"""


def reference_commands(inputs: dict[str, str], out: Path, full: bool) -> list[list[str]]:
  """The runs of export_tfhub that do what one run of run.py does."""
  tool = [sys.executable, '-m', 'official.nlp.tools.export_tfhub',
          f'--vocab_file={inputs["vocab"]}', '--do_lower_case=True']
  model = [*tool, f'--encoder_config_file={inputs["config"]}',
           f'--model_checkpoint_path={inputs["checkpoint"]}']
  if not full:
    return [[*model, '--export_type=model', f'--export_path={out / "model"}']]
  commands = []
  for pooler in ('keep', 'copy', 'third'):
    for kind in ('model', 'model_with_mlm'):
      copy = ['--copy_pooler_dense_to_encoder'] if pooler == 'copy' else []
      commands.append([*model, *copy, f'--export_type={kind}',
                       f'--export_path={out / pooler / kind}'])
  return [*commands, [*tool, '--export_type=preprocessing', '--tokenize_with_offsets',
                      f'--export_path={out / "preprocessing"}']]


def our_command(inputs: dict[str, str], out: Path, full: bool) -> list[str]:
  """One run of run.py."""
  poolers = '(@poolers.keep, @poolers.copy_nsp, @poolers.identity)' if full else '(@poolers.keep,)'
  kinds = ('model', 'model_with_mlm', 'preprocessing') if full else ('model',)
  settings = {'CHECKPOINT': inputs['checkpoint'], 'ENCODER_CONFIG': inputs['config'],
              'VOCAB_FILE': inputs['vocab'], 'DO_LOWER_CASE': 'True', 'POOLERS': poolers,
              'EXPORT_TYPES': repr(kinds)}
  pairs = [part for name, value in settings.items() for part in ('--set', f'{name}={value}')]
  return [sys.executable, str(ROOT / 'run.py'), 'gin/runs/export.gin', *pairs,
          '--out_dir', str(out)]


def measure(commands: list[list[str]]) -> dict[str, float]:
  """Runs commands one after the other: wall time in all, and the largest single process."""
  start, peak_kib = time.perf_counter(), 0
  for command in commands:
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read()
    # The maximum over the process and those that it waited for, each by itself.
    _, status, usage = os.wait4(process.pid, 0)
    if status:
      raise SystemExit(f'{command} failed:\n{output.decode()}')
    peak_kib = max(peak_kib, usage.ru_maxrss)
  return {'seconds': time.perf_counter() - start, 'largest_process_gb': peak_kib * 1024 / 1e9}


def _environment() -> dict[str, str]:
  return {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}


def main() -> None:
  """Measures, and prints JSON."""
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('size', choices=sorted(SIZES))
  parser.add_argument('--repeats', type=int, default=1, help='interleaved; the median is printed')
  options = parser.parse_args()
  full = options.size == 'minilm'
  results: dict[str, list[dict[str, float]]] = {'reference': [], 'ours': []}
  with tempfile.TemporaryDirectory() as directory:
    inputs = write_inputs(Path(directory), SIZES[options.size])
    for repeat in range(options.repeats):
      out = Path(directory) / f'out{repeat}'
      results['reference'].append(measure(reference_commands(inputs, out / 'reference', full)))
      results['ours'].append(measure([our_command(inputs, out / 'ours', full)]))
  summary = {name: {key: sorted(run[key] for run in runs)[len(runs) // 2] for key in runs[0]}
             for name, runs in results.items()}
  ratios = {key: summary['ours'][key] / summary['reference'][key] for key in summary['ours']}
  print(json.dumps({'size': options.size, **summary, 'ratio': ratios, 'cores': os.cpu_count()},
                   indent=2))


if __name__ == '__main__':
  main()
