"""report.html in a real browser: light, dark, on a phone, by keyboard, without a script or network.

Debian's chromium, driven by Selenium through Debian's chromium-driver. Where one is missing the
tests say so and skip; with REQUIRE_CHROMIUM=1 they fail instead.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import importlib.util
import json
import os
import shutil
import threading

import pytest

from nlp_export.reports import page

pytestmark = pytest.mark.extra

PHONE, DESK = 360, 1200
VIEWS = {'light': (DESK, 'light'), 'dark': (DESK, 'dark'), 'phone': (PHONE, 'light'),
         'phone in the dark': (PHONE, 'dark')}


def missing() -> list[str]:
  """What has to be installed for these tests, as commands."""
  found = []
  if importlib.util.find_spec('selenium') is None:
    found.append("pip install '.[browser]'")
  for program, package in (('chromium', 'chromium'), ('chromedriver', 'chromium-driver')):
    if shutil.which(program) is None:
      found.append(f'apt-get install {package}')
  return found


def refuse_or_skip(needed: list[str], environment) -> None:
  """Fails where a browser is demanded, skips elsewhere; both say what to install."""
  if needed:
    told = f'no browser to look at report.html with: {"; ".join(needed)}'
    if environment.get('REQUIRE_CHROMIUM') == '1':
      pytest.fail(f'{told} (REQUIRE_CHROMIUM=1)')
    pytest.skip(told)


@pytest.fixture(scope='module')
def driver():
  """Headless Chromium that logs its console and every request."""
  refuse_or_skip(missing(), os.environ)
  from selenium import webdriver
  from selenium.webdriver.chrome.service import Service

  options = webdriver.ChromeOptions()
  options.binary_location = shutil.which('chromium')
  for argument in ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
                   '--disable-background-networking', '--no-first-run'):
    options.add_argument(argument)
  options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
  browser = webdriver.Chrome(options=options, service=Service(shutil.which('chromedriver')))
  browser.set_page_load_timeout(60)
  try:
    yield browser
  finally:
    browser.quit()


@contextlib.contextmanager
def served(directory):
  """A web server on this machine's loopback, so that a request would be one and be seen."""
  handler = functools.partial(Quiet, directory=str(directory))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
      yield f'http://127.0.0.1:{server.server_address[1]}'
    finally:
      server.shutdown()
      thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
  """Serves files and says nothing."""

  def log_message(self, *arguments):
    """Requests are read from the browser's log."""


def emulate(driver, width, scheme, script=True):
  """A screen of this width in CSS pixels, with this preference."""
  driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
      'width': width, 'height': 800, 'deviceScaleFactor': 1, 'mobile': width == PHONE})
  driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {
      'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})
  driver.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', {'value': not script})


def look(driver, address, width=DESK, scheme='light', script=True) -> dict:
  """Opens a page and says what the browser noticed."""
  for kind in ('browser', 'performance'):
    driver.get_log(kind)
  emulate(driver, width, scheme, script)
  driver.get(address)
  driver.execute_script('return document.fonts.ready')
  events = [json.loads(entry['message'])['message'] for entry in driver.get_log('performance')]
  return {
      'console': [entry['message'] for entry in driver.get_log('browser')],
      'requests': [event['params']['request']['url'] for event in events
                   if event['method'] == 'Network.requestWillBeSent'],
      'overflow': overflow(driver, width),
      'paper': driver.execute_script('return getComputedStyle(document.body).backgroundColor'),
  }


def overflow(driver, width) -> int:
  """How many pixels the page is wider than the screen (a phone's window.innerWidth grows)."""
  return driver.execute_script('return document.documentElement.scrollWidth') - width


@pytest.fixture(scope='module')
def address(html, tmp_path_factory):
  """Where report.html is served, and a spoilt one beside it."""
  directory = tmp_path_factory.mktemp('served')
  (directory / 'report.html').write_text(html, encoding='utf-8')
  spoilt = html.replace('<link rel="icon" href="data:,">', '').replace(
      "default-src 'none';", "default-src *;").replace('img-src data:', 'img-src *')
  spoilt = spoilt.replace('</main>', '<img src="seen.png"><p style="width:900px">wide</p>'
                          '<script>console.error("not ours")</script></main>')
  (directory / 'spoilt.html').write_text(spoilt, encoding='utf-8')
  with served(directory) as found:
    yield found


@pytest.mark.parametrize('view', VIEWS)
def test_the_page_is_quiet_and_fits(driver, address, view):
  width, scheme = VIEWS[view]
  seen = look(driver, f'{address}/report.html', width, scheme)
  assert seen['console'] == []
  assert [url for url in seen['requests'] if not url.startswith('data:')] == [
      f'{address}/report.html']
  assert seen['overflow'] <= 0
  light = sum(int(part) for part in seen['paper'].strip('rgba()').split(',')[:3]) > 380
  assert light == (scheme == 'light')
  # Tables, opened, scroll inside of their own boxes.
  driver.find_element('id', 'tables').click()
  assert driver.execute_script('return document.querySelectorAll("details.numbers[open]").length'
                               ) > 15
  assert overflow(driver, width) <= 0


def test_noise_and_overflow_would_be_seen(driver, address):  # Control of the test above.
  seen = look(driver, f'{address}/spoilt.html', PHONE)
  assert seen['console'] and seen['overflow'] > 0
  assert f'{address}/seen.png' in seen['requests']


# What a browser tells assistive technology, and what text looks like on its ground.
NAMES = """
return Array.from(document.querySelectorAll('svg.plot')).map(svg => [
  svg.getAttribute('aria-label'), svg.getAttribute('role'),
  (document.getElementById(svg.getAttribute('aria-details')) || {}).tagName || '',
  svg.getBoundingClientRect().width, svg.getBoundingClientRect().height]);
"""
OUTSIDE = """
const wide = arguments[0];
return Array.from(document.querySelectorAll('svg.plot text')).filter(text => {
  const box = text.getBoundingClientRect();
  return box.width && (box.left < -1 || box.right > wide + 1);
}).map(text => text.textContent);
"""
OVERLAPPING = """
const hits = [];
document.querySelectorAll('svg.plot').forEach(svg => {
  const texts = Array.from(svg.querySelectorAll('text.name, text.value, text.tick'));
  const boxes = texts.map(text => text.getBoundingClientRect());
  boxes.forEach((a, i) => boxes.forEach((b, j) => {
    if (i < j && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4
        && b.top < a.bottom - 4) hits.push(texts[i].textContent + ' | ' + texts[j].textContent);
  }));
});
return hits;
"""
# Names and numbers that a zero line runs through.
STRUCK = """
const hits = [];
document.querySelectorAll('svg.plot').forEach(svg => {
  const lines = Array.from(svg.querySelectorAll('line.zero')).map(l => l.getBoundingClientRect());
  svg.querySelectorAll('text.name, text.value').forEach(text => {
    const box = text.getBoundingClientRect();
    if (lines.some(l => box.left < l.right && l.left < box.right && box.top + 2 < l.bottom
                   && l.top < box.bottom - 4)) hits.push(text.textContent);
  });
});
return hits;
"""
CONTRAST = """
const hex = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const light = colour => {
  const full = colour.length === 4 ? colour.replace(/[0-9a-f]/gi, '$&$&') : colour;
  const parts = [1, 3, 5].map(at => parseInt(full.substr(at, 2), 16) / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4));
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const ratio = (a, b) => {
  const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const found = {};
['--ink', '--soft', '--warn', '--s0', '--s1', '--s2', '--s3', '--s4', '--s5', '--zero', '--grid']
  .forEach(name => { found[name] = ratio(hex(name), hex('--paper')); });
return found;
"""


@pytest.mark.parametrize('width', [PHONE, DESK])
def test_every_drawing_has_a_name_a_table_and_a_place(driver, address, width):
  look(driver, f'{address}/report.html', width)
  drawings = driver.execute_script(NAMES)
  assert len(drawings) > 20
  for name, role, table, wide, high in drawings:
    assert len(name) > 10 and role == 'img' and table == 'TABLE'
    assert 150 < wide <= width and high > 50
  assert driver.execute_script(OUTSIDE, width) == []
  assert driver.execute_script(OVERLAPPING) == []
  assert driver.execute_script(STRUCK) == []
  # Control: numbers that begin where they should end, then names that lie over each other.
  spoil = 'document.querySelectorAll("svg.plot text").forEach(text => text.setAttribute(%s));'
  driver.execute_script(spoil % '"text-anchor", "start"')
  assert driver.execute_script(OUTSIDE, width)
  driver.execute_script(spoil % '"y", "20"')
  assert driver.execute_script(OVERLAPPING)
  driver.execute_script(spoil % '"y", "40"')
  assert driver.execute_script(STRUCK)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_and_marks_stand_out_from_the_paper(driver, address, scheme):
  look(driver, f'{address}/report.html', DESK, scheme)
  found = driver.execute_script(CONTRAST)
  faint = found.pop('--grid')
  assert all(found[name] >= 4.5 for name in ('--ink', '--soft', '--warn'))  # WCAG 2.2, 1.4.3.
  assert min(found.values()) >= 3, found  # 1.4.11, for graphics.
  assert faint < 3  # Control: what is decoration would be seen as too faint.


def test_the_keyboard_reaches_and_opens_every_table(driver, address):
  from selenium.webdriver.common.action_chains import ActionChains
  from selenium.webdriver.common.keys import Keys

  look(driver, f'{address}/report.html')
  total = driver.execute_script('return document.querySelectorAll("summary").length')
  reached = set()
  for _ in range(3 * total + 60):
    ActionChains(driver).send_keys(Keys.TAB).perform()
    place = driver.execute_script(
        'const found = document.activeElement; return found.tagName === "SUMMARY" '
        '? Array.from(document.querySelectorAll("summary")).indexOf(found) : -1')
    if place >= 0:
      if not reached:
        ActionChains(driver).send_keys(Keys.ENTER).perform()
        assert driver.execute_script('return document.activeElement.parentElement.open')
        assert driver.execute_script(
            'return getComputedStyle(document.activeElement).outlineStyle') != 'none'
      reached.add(place)
    if len(reached) == total:
      break
  assert len(reached) == total > 20


def test_all_is_there_without_a_script(driver, address):
  seen = look(driver, f'{address}/report.html', PHONE, script=False)
  assert seen['overflow'] <= 0
  assert not driver.find_element('id', 'tables').is_displayed()
  summary = driver.find_element('css selector', '#scores summary')
  summary.click()
  assert driver.find_element('id', 'scores-0').is_displayed()
  assert not driver.find_element('id', 'scores-1').is_displayed()


def test_hostile_texts_do_nothing_in_a_browser(driver, matrix, tmp_path):
  from tests.reports.test_page import hostile_report

  (tmp_path / 'report.html').write_text(page.render(hostile_report(matrix)), encoding='utf-8')
  with served(tmp_path) as place:
    seen = look(driver, f'{place}/report.html', PHONE)
  assert seen['console'] == [] and seen['overflow'] <= 0
  assert seen['requests'][0].endswith('report.html')
  assert all(url.startswith('data:') for url in seen['requests'][1:])


def test_a_missing_browser_is_said_and_where_demanded_a_failure():
  with pytest.raises(pytest.skip.Exception, match='apt-get install chromium-driver$'):
    refuse_or_skip(['apt-get install chromium-driver'], {})
  with pytest.raises(pytest.fail.Exception, match=r'chromium \(REQUIRE_CHROMIUM=1\)$'):
    refuse_or_skip(['apt-get install chromium'], {'REQUIRE_CHROMIUM': '1'})
  refuse_or_skip([], {'REQUIRE_CHROMIUM': '1'})  # Control: nothing is missing.
