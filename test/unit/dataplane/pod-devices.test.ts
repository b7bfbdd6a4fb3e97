// SPDX-License-Identifier: Apache-2.0
// Which devices packets are sent straight to with --local-redirect.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enums } from '../../../src/dataplane/bpf/layouts.ts';
import { podDeviceOf } from '../../../src/dataplane/bpf/pod-devices.ts';
import { isUplink, type Network } from '../../../src/dataplane/bpf/uplinks.ts';
import type { LinkRecord } from '../../../src/native/network-records.ts';

function link(index: number, name: string, kind: string, more: Partial<LinkRecord> = {}): LinkRecord {
  return {
    ...{ index, name, kind, slaveKind: '', type: 1, address: Buffer.alloc(6), masterIndex: 0, linkIndex: 0 },
    ...{ linkNamespaceId: undefined, mtu: 1500, isUp: true, isLoopback: false },
    ...more,
  };
}

const inPod = { linkIndex: 2, linkNamespaceId: 3 };
const port = { slaveKind: 'bridge' };

const network: Network = {
  links: [
    link(1, 'lo', '', { type: 772, isLoopback: true }),
    link(2, 'eth0', ''),
    link(3, 'pod1', 'veth', inPod),
    link(4, 'pod2', 'netkit', inPod),
    link(5, 'both-ends-here', 'veth', { linkIndex: 6 }),
    link(7, 'own-leg', 'veth', inPod),
    link(8, 'cni0', 'bridge'),
    link(9, 'port-of-cni0', 'veth', { ...inPod, ...port, masterIndex: 8 }),
    link(10, 'br0', 'bridge'),
    link(11, 'eth1', '', { ...port, masterIndex: 10 }),
    link(12, 'flannel.1', 'vxlan'),
    link(13, 'dummy0', 'dummy'),
  ],
  addresses: [
    {
      ...{ ifindex: 7, family: 4, address: Buffer.from([172, 18, 0, 2]), prefixLength: 16, scope: 0 },
      ...{ isTentative: false, isDeprecated: false },
    },
  ],
};

test('pods are behind host ends of pairs whose other end is elsewhere, and behind bridges that lead nowhere else', () => {
  const { POD_DEVICE_PAIR, POD_DEVICE_BRIDGE } = enums.pod_device;
  const found = network.links.flatMap((each) => {
    const kind = podDeviceOf(each, network, isUplink);
    return kind === undefined ? [] : [[each.name, kind]];
  });
  assert.deepEqual(found, [
    ['pod1', POD_DEVICE_PAIR],
    ['pod2', POD_DEVICE_PAIR],
    ['cni0', POD_DEVICE_BRIDGE],
  ]);
});

test('a device that --uplinks names is no device of a pod', () => {
  assert.ok(network.links.every((each) => podDeviceOf(each, network, () => true) === undefined));
});
