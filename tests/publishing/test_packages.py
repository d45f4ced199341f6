"""Packages for the hubs: what is in them, that they are the same every time, what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from nlp_export import archives, files
from nlp_export.errors import CheckError, RequestError
from nlp_export.experiment import Run
from nlp_export.publishing import cards, executing, packing, published
from nlp_export.publishing import request as requests
from nlp_export.publishing.request import PackageRequest


def request_for(export=None, preprocessing=None, **changes) -> PackageRequest:
  values = {'owner': 'ann', 'name': 'bert_tiny', 'licence': 'apache-2.0', 'languages': ('en', 'de'),
            'training_data': ('wikipedia', 'Letters of 1900'),
            'fine_tuning': 'Three epochs, 3e-5.', **changes}
  return PackageRequest(export=export, preprocessing=preprocessing, **values)


OTHER = {'licence': 'other', 'licence_name': 'of-our-house',
         'licence_link': 'https://example.org/licence', 'kaggle_licence': 'Other'}


def contents(directory: Path) -> dict[str, str]:
  """Relative path -> SHA-256."""
  return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest()
          for p in directory.rglob('*') if p.is_file()}


def test_the_archive_has_the_layout_that_tf_hub_serves(packages, uncased_exports):
  path = packages / 'tf_hub' / 'bert_tiny_1.tar.gz'
  with tarfile.open(path) as archive:
    members = archive.getmembers()
  names = [member.name for member in members]
  assert 'saved_model.pb' in names and 'variables/variables.index' in names
  assert names == sorted(names) and len(set(names)) == len(names)
  for member in members:
    assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, '', '')
    assert member.mode == (0o755 if member.isdir() else 0o644)
    parent = member.name.rpartition('/')[0]
    assert not parent or names.index(parent) < names.index(member.name)
  source = set(files.list_tree(uncased_exports['model']))
  assert {member.name for member in members if member.isfile()} == source


def test_equal_exports_give_equal_bytes(packages, uncased_exports, tmp_path):
  copy = shutil.copytree(uncased_exports['model'], tmp_path / 'another' / 'place')
  for file in copy.rglob('*'):
    file.chmod(0o777)
  (copy / '.DS_Store').write_text('of some desktop')
  run = Run(str(tmp_path))
  executing.package(request_for(str(copy), uncased_exports['preprocessing']), run)
  assert contents(tmp_path / 'packages') == contents(packages)
  # Control: another word of the publisher is another archive.
  other = tmp_path / 'other'
  other.mkdir()
  executing.package(request_for(str(copy), fine_tuning='Do not.', targets=('tf_hub',)),
                    Run(str(other)))
  archive = 'tf_hub/bert_tiny_1.tar.gz'
  assert contents(other / 'packages')[archive] != contents(packages)[archive]


def test_nothing_in_the_archive_tells_when_or_where_it_was_packed(packages):
  head = (packages / 'tf_hub' / 'bert_tiny_1.tar.gz').read_bytes()[:10]
  assert head[3] == 0 and head[4:8] == bytes(4)  # No name, no time (RFC 1952).


def test_the_checksum_is_what_sha256sum_checks(packages, uncased_exports):
  done = subprocess.run(['sha256sum', '--check', 'bert_tiny_1.tar.gz.sha256'],
                        cwd=packages / 'tf_hub', capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  record = json.loads((packages / 'package.json').read_text())
  found = contents(packages)
  del found['package.json']
  assert record['files'] == found
  assert [item['type'] for item in record['saved_models']] == ['model', 'preprocessing']
  assert record['saved_models'][0]['sha256'] == files.sha256(uncased_exports['model'])


def test_an_archive_that_holds_something_else_is_seen(tmp_path, monkeypatch):
  source = tmp_path / 'source'
  source.mkdir()
  (source / 'saved_model.pb').write_bytes(b'graph')
  packing.pack(str(source), str(tmp_path / 'a.tar.gz'))
  unpack = archives.unpack

  def with_a_fault(path, directory):
    unpack(path, directory)
    (Path(directory) / 'saved_model.pb').write_bytes(b'grapf')

  monkeypatch.setattr(archives, 'unpack', with_a_fault)
  with pytest.raises(CheckError, match='saved_model.pb differs. Nothing was put in place.$'):
    packing.pack(str(source), str(tmp_path / 'a.tar.gz'))


def test_the_folder_for_hugging_face_has_a_card_that_its_client_reads(packages, uncased_exports):
  from huggingface_hub import ModelCard

  folder = packages / 'hugging_face' / 'bert_tiny'
  data = ModelCard.load(folder / 'README.md').data
  assert data.license == 'apache-2.0' and data.language == ['en', 'de']
  assert data.pipeline_tag == 'feature-extraction' and data.datasets == ['wikipedia']
  assert {'tensorflow', 'saved-model', 'bert'} <= set(data.tags)
  other = ModelCard.load(packages / 'hugging_face' / 'bert_tiny_preprocess' / 'README.md').data
  assert other.pipeline_tag is None and other.datasets is None
  for name, kind in (('bert_tiny', 'model'), ('bert_tiny_preprocess', 'preprocessing')):
    found = contents(packages / 'hugging_face' / name)
    source = contents(Path(uncased_exports[kind]))
    assert found.pop('README.md') != source.pop('README.md')
    assert found == source


def test_a_licence_of_one_s_own_has_name_and_link_in_the_front_matter(
    packages, uncased_exports, tmp_path):
  from huggingface_hub import ModelCard

  copy = shutil.copytree(uncased_exports['model'], tmp_path / 'copy')
  request = request_for(str(copy), targets=('hugging_face', 'tf_hub'), **OTHER)
  executing.package(request, Run(str(tmp_path / 'url')))
  folder = tmp_path / 'url/packages/hugging_face/bert_tiny'
  data = ModelCard.load(folder / 'README.md').data
  assert (data.license, data.license_name, data.license_link) == (
      'other', 'of-our-house', 'https://example.org/licence')
  assert '- **Licence:** [of-our-house](https://example.org/licence)\n' in (
      folder / 'README.md').read_text()
  known = ModelCard.load(packages / 'hugging_face/bert_tiny/README.md').data  # Control.
  assert known.license_name is None and known.license_link is None

  in_it = dataclasses.replace(request, licence_link='LICENSE')
  with pytest.raises(RequestError, match='or write --set LICENCE_LINK=https://...$'):
    executing.package(in_it, Run(str(tmp_path / 'file')))
  (copy / 'LICENSE').write_text('Do what you like in our house.')
  executing.package(in_it, Run(str(tmp_path / 'file')))
  folder = tmp_path / 'file/packages/hugging_face/bert_tiny'
  assert ModelCard.load(folder / 'README.md').data.license_link == 'LICENSE'
  assert (folder / 'LICENSE').read_text() == 'Do what you like in our house.'


@pytest.mark.parametrize('place', ['hugging_face/bert_tiny', 'kaggle/bert-tiny/encoder', 'tf_hub'])
def test_the_cards_pair_the_two_and_say_what_the_publisher_says(place, packages, uncased_exports):
  sha256 = files.sha256(str(next((Path(uncased_exports['model']) / 'assets').iterdir())))

  def card(path: Path) -> str:
    if path.name == 'tf_hub':
      with tarfile.open(path / 'bert_tiny_1.tar.gz') as archive:
        member = archive.extractfile('README.md')
        assert member
        return member.read().decode()
    return (path / 'README.md').read_text()

  text = card(packages / place)
  assert '- **Preprocessor:** `bert_tiny_preprocess`, published with it.' in text
  assert sha256 in text and '../../preprocessing' not in text
  assert '### Fine-tuning\n\nThree epochs, 3e-5.\n' in text
  assert 'fine-tuning all of them is what we recommend' not in text
  assert '- **Licence:** apache-2.0' in text and 'wikipedia; Letters of 1900' in text
  assert "hub.load('https://HOST/bert_tiny_1.tar.gz')" in text
  assert "snapshot_download('ann/bert_tiny')" in text
  assert "model_download('ann/bert-tiny/tensorFlow2/encoder')" in text
  assert text.startswith('---\n') == place.startswith('hugging_face')


def test_the_preprocessing_s_card_names_the_encoder(packages):
  text = (packages / 'kaggle' / 'bert-tiny' / 'preprocess' / 'README.md').read_text()
  assert '- **Belongs to:** `bert_tiny`, published with it.' in text
  assert 'Fine-tuning' not in text and 'wikipedia' not in text
  assert 'import tensorflow_text' in text


def test_a_card_that_names_no_partner_gets_a_line():
  stranger = published.Published('bert', 'x', 'model', None, None, '# BERT of Bob\n\nGood.\n', {})
  other = dataclasses.replace(stranger, name='prep', kind='preprocessing')
  text = cards.body(request_for('x', 'y'), stranger, other, ('vocab.txt', 'abc'))
  assert text.startswith('# BERT of Bob\n\nGood.\n')
  assert '- **Preprocessor:** `prep`, published with it. Both hold `vocab.txt`' in text
  alone = cards.body(request_for('x'), stranger, None, None)
  assert 'Preprocessor' not in alone


# The whole run.


def test_the_run_file_makes_them_and_says_how_to_send_them(run_py, uncased_exports, tmp_path):
  arguments = ['gin/runs/package.gin', f'--set=EXPORT={uncased_exports["model"]}',
               f'--set=PREPROCESSING={uncased_exports["preprocessing"]}', '--set=OWNER=ann',
               '--set=NAME=bert_tiny', '--set=LICENCE=cc-by-4.0', '--set=LANGUAGE=en',
               '--set=TRAINING_DATA=wikipedia', '--set=FINE_TUNING=Yes.',
               "--set=TARGETS=('hugging_face', 'tf_hub')", '--out_dir', tmp_path / 'out']
  done = run_py(*arguments)
  assert done.status == 0, done.output
  place = tmp_path / 'out' / 'packages'
  assert f'hugging_face: hf upload ann/bert_tiny {place}/hugging_face/bert_tiny\n' in done.output
  assert 'both hold uncased_vocab.txt' in done.output
  assert sorted(p.name for p in place.iterdir()) == ['hugging_face', 'package.json', 'tf_hub']
  before = contents(place)
  again = run_py(*arguments)
  assert again.status == 0 and 'done' in again.output, again.output
  assert contents(place) == before


def test_a_failure_leaves_nothing(uncased_exports, tmp_path, monkeypatch):
  monkeypatch.setattr(cards, 'kaggle_model', lambda *args: 1 / 0)
  request = request_for(uncased_exports['model'])
  with pytest.raises(ZeroDivisionError):
    executing.package(request, Run(str(tmp_path)))
  assert list(tmp_path.iterdir()) == []
  monkeypatch.undo()
  executing.package(request, Run(str(tmp_path)))  # Control.
  assert (tmp_path / 'packages' / 'package.json').exists()


def test_packages_can_be_written_to_a_remote_place(uncased_exports, packages):
  executing.package(request_for(uncased_exports['model'], uncased_exports['preprocessing']), Run('ram://published'))
  for name, sha256 in contents(packages).items():
    assert files.sha256(f'ram://published/packages/{name}') == sha256


# What is refused.


def test_a_preprocessing_of_another_vocabulary_is_refused(uncased_exports, cased_exports, tmp_path):
  wrong = request_for(uncased_exports['model'], cased_exports['preprocessing'])
  with pytest.raises(RequestError, match='do not belong together') as caught:
    executing.package(wrong, Run(str(tmp_path)))
  assert caught.value.message.endswith('--set PREPROCESSING=...')
  assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_that_differs_in_one_byte_is_refused(uncased_exports):
  export = published.read(uncased_exports['model'], 'a', 'EXPORT')
  same = published.read(uncased_exports['preprocessing'], 'b', 'PREPROCESSING')
  name, sha256 = next(iter(same.assets.items()))
  assert published.shared_vocabulary(export, same) == (name, sha256)
  other = dataclasses.replace(same, assets={name: sha256[::-1]})
  with pytest.raises(RequestError, match='no file is the same'):
    published.shared_vocabulary(export, other)
  cased = dataclasses.replace(same, provenance={'tokenizer': {**same.tokenizer,
                                                              'lower_case': False}})
  with pytest.raises(RequestError, match='has lower_case True, that of PREPROCESSING False'):
    published.shared_vocabulary(export, cased)
  nothing = dataclasses.replace(same, assets={})
  assert published.shared_vocabulary(export, nothing) is None


def test_each_is_given_as_what_it_is(uncased_exports):
  path = uncased_exports['preprocessing']
  with pytest.raises(RequestError, match=f'--set PREPROCESSING={re.escape(path)}$'):
    published.read(path, 'a', 'EXPORT')
  path = uncased_exports['model']
  with pytest.raises(RequestError, match=f'--set EXPORT={re.escape(path)}$'):
    published.read(path, 'a', 'PREPROCESSING')


def test_an_export_whose_verification_failed_is_refused(uncased_exports, tmp_path):
  copy = shutil.copytree(uncased_exports['model'], tmp_path / 'copy')
  record = copy / 'assets.extra' / 'verification.json'
  record.write_text(json.dumps({**json.loads(record.read_text()), 'passed': False}))
  with pytest.raises(RequestError, match='Export it again.$'):
    published.read(str(copy), 'a', 'EXPORT')


def test_a_link_would_publish_what_it_points_to(uncased_exports, tmp_path):
  copy = shutil.copytree(uncased_exports['model'], tmp_path / 'copy')
  secret = tmp_path / 'secret'
  secret.write_text('a key')
  (copy / 'assets' / 'notes.txt').symlink_to(secret)
  with pytest.raises(RequestError, match='make a copy with cp -rL and package that.$'):
    published.read(str(copy), 'a', 'EXPORT')
  (copy / 'assets' / 'notes.txt').unlink()
  (copy / 'assets' / 'notes.txt').symlink_to(copy / 'README.md')  # Control: inside is fine.
  published.read(str(copy), 'a', 'EXPORT')


@pytest.mark.parametrize('changes, end', [
    ({'targets': ('hf',)}, '--set TARGETS="(\'hugging_face\',)"'),
    ({'targets': ()}, '--set TARGETS="(\'hugging_face\',)"'),
    ({'owner': 'ann/b'}, 'Write --set OWNER=bert_en_uncased, for example.'),
    ({'name': '../bert'}, 'Write --set NAME=bert_en_uncased, for example.'),
    ({'name': 'bert--tiny'}, 'Write --set NAME=bert_en_uncased, for example.'),
    ({'name': 'b' * 81}, 'Write --set NAME=bert_en_uncased, for example.'),
    ({'preprocessing_name': 'bert_tiny'}, '--set PREPROCESSING_NAME=bert_tiny_preprocess'),
    ({'version': 0}, 'write --set VERSION=1'),
    ({'licence': 'Apache 2.0'}, '--set LICENCE=apache-2.0 or --set LICENCE=cc-by-sa-4.0'),
    ({'licence': 'apache'}, 'Write --set LICENCE=apache-2.0'),
    ({'licence': 'apache-2', 'targets': ('hugging_face',)}, 'Write --set LICENCE=apache-2.0'),
    ({'licence': 'of-our-house'}, 'Write --set LICENCE=other --set LICENCE_NAME=of-our-house '
                                  '--set LICENCE_LINK=https://...'),
    ({**OTHER, 'licence_name': None}, '--set LICENCE_NAME=of-our-house --set LICENCE_LINK=https://...'),
    ({**OTHER, 'licence_link': None}, '--set LICENCE_NAME=of-our-house --set LICENCE_LINK=https://...'),
    ({**OTHER, 'licence_name': 'Of our house'}, 'write --set LICENCE_NAME=of-our-house'),
    ({**OTHER, 'licence_name': 'mit'}, 'write --set LICENCE_NAME=of-our-house'),
    ({**OTHER, 'licence_link': 'terms.pdf'}, 'a file of that name in each SavedModel'),
    ({**OTHER, 'licence': 'apache-2.0'}, 'Leave them out, or write --set LICENCE=other'),
    ({'languages': ('English',)}, '--set LANGUAGE=en or --set LANGUAGE="(\'en\', \'de\')"'),
    ({'licence': 'cc-by-4.0'}, 'shows it: --set KAGGLE_LICENCE=...'),
])
def test_what_a_hub_would_refuse_is_refused_before_the_work(changes, end):
  with pytest.raises(RequestError) as caught:
    requests.check(request_for('x', **changes))
  assert caught.value.message.endswith(end)
  requests.check(request_for('x'))  # Control.


def test_a_licence_that_hugging_face_does_not_know_may_go_elsewhere():
  requests.check(request_for('x', licence='of-our-house', targets=('tf_hub',)))
  requests.check(request_for('x', **OTHER))
  requests.check(request_for('x', licence='other', targets=('tf_hub',)))
  for licence in ('openrail++', 'cc-by-sa-4.0'):
    requests.check(request_for('x', licence=licence, targets=('hugging_face',)))


def test_what_is_missing_is_said(run_py, tmp_path):
  done = run_py('gin/runs/package.gin', '--set=EXPORT=x', '--set=OWNER=a', '--set=NAME=b',
                '--set=LICENCE=mit', '--set=LANGUAGE=en', '--dry_run', '--out_dir', tmp_path / 'o')
  assert done.status == 2
  assert '--set TRAINING_DATA=...' in done.output and '--set FINE_TUNING=...' in done.output


def test_the_kaggle_folder_names_its_licence():
  assert request_for('x').kaggle_licence_name == 'Apache 2.0'
  assert request_for('x', kaggle_licence='CC BY 4.0').kaggle_licence_name == 'CC BY 4.0'
  assert request_for('x', name='BERT_en.2').kaggle_slug == 'bert-en-2'


def test_a_front_matter_is_taken_off_once(tmp_path):
  (tmp_path / 'README.md').write_text('---\nlicense: mit\n---\n\n# Title\n\n---\nA rule.\n')
  assert published.read(str(tmp_path), 'a', 'EXPORT').card == '# Title\n\n---\nA rule.\n'


def test_a_packed_archive_can_be_packaged(packages):
  data = (packages / 'tf_hub' / 'bert_tiny_preprocess_1.tar.gz').read_bytes()
  with tarfile.open(fileobj=io.BytesIO(data)) as archive:
    assert 'assets.extra/verification.json' in archive.getnames()
  place = archives.unpacked(str(packages / 'tf_hub' / 'bert_tiny_1.tar.gz'))
  again = published.read(place, 'bert_tiny', 'EXPORT')
  assert again.kind == 'model' and again.verification


def test_a_text_embedding_is_packaged_alone(uncased_exports, tmp_path):
  executing.package(request_for(uncased_exports['text_embedding'], targets=('kaggle',)),
                    Run(str(tmp_path)))
  folder = tmp_path / 'packages' / 'kaggle' / 'bert-tiny'
  assert sorted(p.name for p in folder.iterdir()) == ['model-metadata.json', 'text-embedding']
  text = (folder / 'text-embedding' / 'README.md').read_text()
  assert 'import tensorflow_text' in text and 'tensorFlow2/text-embedding' in text
  assert 'hub.load' not in text.partition('## Where to get it')[2]  # No archive was asked for.
