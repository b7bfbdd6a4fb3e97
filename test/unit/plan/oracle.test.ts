// SPDX-License-Identifier: Apache-2.0
// The recorded cases of kube-proxy against plan and the reconciler.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replayKubeProxy } from '../../lib/oracle-kube-proxy.ts';

const folder = fileURLToPath(new URL('../../oracle/kube-proxy/', import.meta.url));

for (const group of ['curated', 'random']) {
  for (const file of readdirSync(`${folder}${group}`)) {
    test(`plan and the reconciler do what kube-proxy does in every recorded case of ${group}/${file}`, () => {
      const outcomes = replayKubeProxy(`${folder}${group}/${file}`);
      assert.notEqual(outcomes.length, 0);
      assert.deepEqual(
        outcomes.filter((outcome) => outcome.result !== 'passed'),
        [],
      );
    });
  }
}
