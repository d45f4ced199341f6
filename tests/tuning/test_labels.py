"""Labels of a user's examples: classes or numbers, their ids and their names."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.tuning import labels
from nlp_export.tuning.tables import Row


def rows(*values):
  return [Row(line, ('text', value)) for line, value in enumerate(values, 2)]


def find(*values, **options):
  return labels.find('a.csv', rows(*values), 1, **options)


def refusal(function, *arguments, **options):
  with pytest.raises(RequestError) as caught:
    function(*arguments, **options)
  return str(caught.value)


@pytest.mark.parametrize(('values', 'names'), [
    (('neg', 'pos', 'neg'), ('neg', 'pos')),
    (('10', '9', '1'), ('1', '9', '10')),  # By value.
    ((1, 0, 1), ('0', '1')),
    (('a', '1'), ('1', 'a')),  # By letters: not all of them are numbers.
    ((True, False), ('false', 'true')),
    # Codes that float() reads, but nobody as a number.
    (('1_0', '2_1'), ('1_0', '2_1')),
    (('1e2', '3e5'), ('1e2', '3e5')),
    (('inf', 'nan', 'infinity'), ('inf', 'infinity', 'nan')),
    ((' 1', ' 0'), (' 0', ' 1')),
])
def test_classes_have_the_order_of_their_names(values, names):
  found = find(*values)
  assert found.names == names
  assert not found.is_regression


def test_numbers_with_a_decimal_point_are_a_regression():
  found = find('1.0', '2', '5.5')
  assert found.is_regression
  assert found.ids('a.csv', rows('2', '3.25'), 1).tolist() == [2.0, 3.25]
  assert found.ids('a.csv', rows('2'), 1).dtype == np.float32
  assert find('0.5', '1e-05').is_regression  # As pandas writes small numbers.
  assert find('-.5', '+1.').ids('a.csv', rows('-.5', '+1.', '2.5E+1'), 1).tolist() == [-.5, 1, 25]
  # Controls: the same as whole numbers, and what is asked for.
  assert not find('1', '2').is_regression
  assert find('1', '2', kind=labels.NUMBERS).is_regression
  assert find('1.0', '2.5', kind=labels.CLASSES).names == ('1.0', '2.5')
  assert find('1.5', 'beta', kind=labels.CLASSES).names == ('1.5', 'beta')


def test_names_say_that_two_spellings_are_two_classes():
  assert find('1', '01', names={'01': 'old', '1': 'new'}).names == ('old', 'new')


def test_names_give_order_and_names():
  found = find('1', '0', '1', names={'1': 'good', '0': 'bad'})
  assert found.names == ('good', 'bad')
  assert found.ids('a.csv', rows('0', '1'), 1).tolist() == [1, 0]


@pytest.mark.parametrize(('values', 'options', 'where', 'ends'), [
    (('a', 'a'), {}, "all 2 labels are 'a'", 'Is LABEL_COLUMN the right one?'),
    (('1.5', '1.5'), {}, 'all 2 labels are 1.5', 'Is LABEL_COLUMN the right one?'),
    (('a', ''), {}, "a.csv, line 3: '' is no label", 'Correct or remove that row'),
    (('a', None), {}, 'a.csv, line 3: None is no label', 'Correct or remove that row'),
    (('a', 'b\nc'), {}, 'a.csv, line 3:', 'Correct or remove that row'),
    (('1', 'x'), {'kind': 'numbers'}, "a.csv, line 3: the label 'x' is no number",
     'write --set LABELS=classes'),
    (('1', '1_0'), {'kind': 'numbers'}, "a.csv, line 3: the label '1_0' is no number",
     'write --set LABELS=classes'),
    (('1.0', '1e999'), {}, "a.csv, line 3: the label '1e999' is no number",
     'write --set LABELS=classes'),
    (('1', 'x'), {'kind': 'letters'}, "LABELS is 'letters'", 'decimal point are numbers'),
    (('1', '2'), {'names': {'1': 'a'}}, "a.csv, line 3: the label '2' is not in LABEL_NAMES",
     'Add it there, or correct the row'),
    (('1', '2'), {'names': {'1': 'a', '2': 'b', '3': 'c'}}, "LABEL_NAMES has '3'",
     'nothing could be learnt about it'),
    # What pandas writes for a missing number, in CSV and in JSON; and one that was not measured.
    (('1.0', '0.0', 'nan'), {}, "a.csv, line 4: the label 'nan' is no number",
     'write --set LABELS=classes'),
    (('a', float('nan')), {}, 'a.csv, line 3: nan is no label', 'Correct or remove that row'),
    ((1.0, 'n/a'), {}, "a.csv, line 3: the label 'n/a' is no number", '--set LABELS=classes'),
    # Else their order, and so the outputs', would be another one in each process.
    (('1', '01', '2'), {}, "'01' and some '1'", 'with all'),
    (('pos ', 'pos', 'neg'), {}, "'pos' and some 'pos '", 'with all'),
    (('1', '2', '3'), {'names': {'1': 'a', '2': 'a', '3': 'b'}}, "the name 'a' more than once",
     'written alike in the file'),
    (('1', '2'), {'names': {'1': 'a', '2': 'b\nc'}}, 'no text on one line',
     'written alike in the file'),
    (('1', '2'), {'names': {'1': 'a', '2': 'b'}, 'kind': 'numbers'}, 'which have no names',
     'Leave one of them out'),
    (tuple(f'{i}e-6' for i in range(1, 102)), {}, 'are 101 different numbers',
     '--set LABELS=classes'),
    (tuple(map(str, range(101))), {}, '101 different whole numbers', '--set LABELS=classes'),
])
def test_what_does_not_fit_is_refused(values, options, where, ends):
  message = refusal(find, *values, **options)
  assert where in message
  assert message.endswith(ends)


def test_a_label_that_was_not_trained_on_is_refused_by_line():
  message = refusal(find('a', 'b').ids, 'dev.csv', rows('a', 'c'), 1)
  assert message.startswith("dev.csv, line 3: no example to train on has the label 'c'")
  assert message.endswith('Correct it, or add such examples')


def test_description_names_the_classes():
  assert find('a', 'b').description() == '2 classes: a, b'
  assert find('0.5', '1').description() == 'numbers: a regression'
