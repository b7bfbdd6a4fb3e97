// SPDX-License-Identifier: Apache-2.0
// What a configuration means for the daemon.
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { type AgentSettings, agentSettings, nodePortCidrs } from '../../../src/config/agent-settings.ts';
import type { SetFields } from '../../../src/config/fields.ts';
import { settled, withDefaults } from '../../../src/config/kube-proxy-configuration.ts';
import { InputError } from '../../../src/errors.ts';

const settings = (set: SetFields, server?: string) => agentSettings(settled(withDefaults(set)), server);

test('an empty configuration gives the settings of kube-proxy', () => {
  const expected: AgentSettings = {
    nodeName: hostname().toLowerCase(),
    mode: 'iptables',
    api: { kubeconfig: undefined, server: undefined },
    scheduler: 'rr',
    timeouts: { tcpSeconds: undefined, tcpFinSeconds: undefined, udpSeconds: undefined },
    syncPeriodMs: 30_000,
    minSyncPeriodMs: 1000,
    nodePortAddresses: [],
    healthz: { address: '0.0.0.0', port: 10256 },
    metrics: { address: '127.0.0.1', port: 10249 },
    mustListen: false,
    conntrack: {
      maxPerCore: 32768,
      min: 131072,
      tcpEstablishedSeconds: 86_400,
      tcpCloseWaitSeconds: 3600,
      udpSeconds: 0,
      udpStreamSeconds: 0,
      isTcpLiberal: false,
    },
    oomScoreAdjust: -999,
    allowsExternalIps: true,
  };
  assert.deepEqual(settings({}), expected);
});

const v4 = (address: string, length: number) => ({ family: 4, address, length });
const v6 = (address: string, length: number) => ({ family: 6, address, length });

/** What each set of fields changes. */
const changes: readonly (readonly [SetFields, Partial<AgentSettings>])[] = [
  [{ mode: 'ipvs' }, { mode: 'ipvs', minSyncPeriodMs: 0 }],
  [{ mode: 'nftables' }, { mode: 'nftables', nodePortAddresses: ['primary'] }],
  [{ mode: 'ipvs', 'ipvs.syncPeriod': 60e9, 'iptables.syncPeriod': 5e9 }, { syncPeriodMs: 60_000 }],
  [{ 'iptables.syncPeriod': 5e9, 'ipvs.syncPeriod': 60e9 }, { syncPeriodMs: 5000 }],
  [{ 'ipvs.scheduler': 'sh' }, { scheduler: 'sh' }],
  [
    { 'ipvs.tcpTimeout': 1800e9, 'ipvs.tcpFinTimeout': 0.25e9, 'ipvs.udpTimeout': 90.9e9 },
    { timeouts: { tcpSeconds: 1800, tcpFinSeconds: 1, udpSeconds: 90 } },
  ],
  [{ hostnameOverride: ' Node-A ' }, { nodeName: 'node-a' }],
  [
    { bindAddress: 'fd00::1' },
    {
      healthz: { address: '::', port: 10256 },
      metrics: { address: '::1', port: 10249 },
    },
  ],
  [{ bindAddress: '::' }, { healthz: { address: '::', port: 10256 } }],
  [{ healthzBindAddress: '10.0.0.1' }, { healthz: { address: '10.0.0.1', port: 10256 } }],
  [{ metricsBindAddress: '[::]:99' }, { metrics: { address: '::', port: 99 } }],
  [
    { nodePortAddresses: ['primary', '10.0.0.7/08', 'all'] },
    { nodePortAddresses: ['primary', v4('10.0.0.7', 8), v4('0.0.0.0', 0), v6('::', 0)] as never },
  ],
  [{ featureGates: { AllowServiceExternalIPs: false, Other: true } }, { allowsExternalIps: false }],
  [{ oomScoreAdj: 0 }, { oomScoreAdjust: 0 }],
  [{ bindAddressHardFail: true }, { mustListen: true }],
];

for (const [set, expected] of changes) {
  test(`${JSON.stringify(set)} sets ${Object.keys(expected).join(', ')}`, () => {
    const actual = settings(set);
    const keys = Object.keys(expected) as (keyof AgentSettings)[];
    assert.deepEqual(Object.fromEntries(keys.map((key) => [key, actual[key]])), expected);
  });
}

test('the URL of --master counts instead of that of the kubeconfig file', () => {
  const { api } = settings({ 'clientConnection.kubeconfig': '/k' }, 'https://10.0.0.1:6443');
  assert.deepEqual(api, { kubeconfig: '/k', server: 'https://10.0.0.1:6443' });
});

test('conntrack values of 0 are kept, as they leave the kernel alone', () => {
  const { conntrack } = settings({ 'conntrack.maxPerCore': 0, 'conntrack.tcpEstablishedTimeout': 0 });
  assert.equal(conntrack.maxPerCore, 0);
  assert.equal(conntrack.tcpEstablishedSeconds, 0);
});

test('a scheduler that there is not is named, with those that there are', () => {
  assert.throws(
    () => settings({ 'ipvs.scheduler': 'fastest' }),
    new InputError(
      'Expected one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh, fo, ovf, twos for ipvs.scheduler but received "fastest"',
    ),
  );
});

test("the word primary stands for the first of the Node's own addresses of each family, but for loopback ones", () => {
  const own = ['127.0.0.1', '192.168.0.1', '203.0.113.1', 'fd00::1', 'fd00::2'];
  assert.deepEqual(nodePortCidrs(['primary', v4('10.0.0.0', 8) as never], own), [
    v4('192.168.0.1', 32),
    v6('fd00::1', 128),
    v4('10.0.0.0', 8),
  ]);
});
