// SPDX-License-Identifier: Apache-2.0
// The daemon's log lines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../../src/agent/log.ts';
import { OnceEach } from '../../../src/agent/once-each.ts';

test('a log line is one line of pairs, quoted where they would fall apart', () => {
  let written = '';
  const log = createLog(
    (line) => {
      written += line;
    },
    () => new Date(0),
  );
  log('info', 'reconciled', { services: 2, problem: 'a "b"\nc=d', empty: '' });
  assert.equal(
    written,
    'time=1970-01-01T00:00:00.000Z level=info event=reconciled services=2 problem="a \\"b\\"\\nc=d" empty=""\n',
  );
});

test('what stays true is said once, and again when it comes back', () => {
  const once = new OnceEach();
  assert.deepEqual(once.fresh(['a', 'b']), ['a', 'b']);
  assert.deepEqual(once.fresh(['b', 'c']), ['c']);
  assert.deepEqual(once.fresh([]), []);
  assert.deepEqual(once.fresh(['a', 'c']), ['a', 'c']);
});
