// SPDX-License-Identifier: Apache-2.0
// The recorded cases of kube-proxy against plan.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replayKubeProxy } from '../../lib/oracle-kube-proxy.ts';

const folder = fileURLToPath(new URL('../../oracle/kube-proxy/', import.meta.url));
const curated = (kind: string) => replayKubeProxy(`${folder}curated/${kind}.json`);

for (const kind of ['changes', 'cluster-ip', 'load-balancer', 'node-port']) {
  test(`plan lists what kube-proxy does in every recorded case of the kind ${kind}`, () => {
    const outcomes = curated(kind);
    assert.notEqual(outcomes.length, 0);
    assert.deepEqual(
      outcomes.filter((outcome) => outcome.result !== 'passed'),
      [],
    );
  });
}

for (const kind of [
  'conditions',
  'external-ip',
  'node-port-addresses',
  'sharing',
  'skipped',
  'slices',
  'source-ranges',
]) {
  test(`plan lists what kube-proxy does in the recorded cases of the kind ${kind} that need no other rule`, () => {
    const outcomes = curated(kind);
    assert.ok(outcomes.some((outcome) => outcome.result === 'passed'));
    assert.deepEqual(
      outcomes.filter((outcome) => outcome.result === 'failed'),
      [],
    );
  });
}
