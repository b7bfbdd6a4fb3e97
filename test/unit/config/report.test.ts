// SPDX-License-Identifier: Apache-2.0
// What is said of each field that a configuration sets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeConfiguration } from '../../../src/config/decode.ts';
import { fieldOf, fieldPaths } from '../../../src/config/fields.ts';
import { formatReport, reportFields } from '../../../src/config/report.ts';

const heading = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const report = (body: string) => reportFields(decodeConfiguration(heading + body, 'x').set).map(formatReport);

test('every field that has no effect, or another one, has a reason', () => {
  const silent = fieldPaths.filter((path) => fieldOf(path).use !== 'honoured' && !fieldOf(path).note);
  assert.deepEqual(silent, []);
});

test('each field that is set is said to be honoured, mapped or ignored, once', () => {
  assert.deepEqual(report('mode: ipvs\nipvs: {scheduler: sh, strictARP: true, tcpTimeout: 15m}\n'), [
    'mapped    mode: "ipvs" (BPVS serves in place of every mode; /proxyMode answers it, and it says which section has the sync periods)',
    'honoured  ipvs.scheduler: "sh" (in every mode)',
    'honoured  ipvs.tcpTimeout: "15m0s" (in every mode)',
    'ignored   ipvs.strictARP: true (no virtual address is bound to a device, so the node answers no ARP for one)',
  ]);
});

test('a section of another mode than the one that is set is ignored, and said to be', () => {
  assert.deepEqual(report('ipvs: {syncPeriod: 10s}\niptables: {syncPeriod: 20s}\n'), [
    'ignored   ipvs.syncPeriod: "10s" (it counts in mode ipvs only, and the mode is iptables)',
    'honoured  iptables.syncPeriod: "20s"',
  ]);
});

test('empty values count as absent, but for fields where zero means something', () => {
  assert.deepEqual(
    report('portRange: ""\nnodePortAddresses: []\nipvs: {tcpTimeout: 0s}\niptables: {masqueradeBit: null}\n'),
    [],
  );
  // As kubeadm writes it.
  const none = '{infoBufferSize: "0"}';
  assert.deepEqual(report(`logging: {options: {json: ${none}, text: ${none}}}\n`), []);
  assert.deepEqual(report('conntrack: {maxPerCore: 0}\n'), ['honoured  conntrack.maxPerCore: 0']);
});
