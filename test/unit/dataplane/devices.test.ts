// SPDX-License-Identifier: Apache-2.0
// Which devices are clients' devices, by rule and by option.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DeviceTraits,
  deviceProblems,
  isClientDevice,
  isNic,
  namedDevices,
  parseDevices,
  parseXdpDevices,
  type XdpDeviceFilter,
  type XdpTraits,
} from '../../../src/dataplane/bpf/devices.ts';
import { InputError } from '../../../src/errors.ts';

const ethernet = 1;
const none = 65534;

function device(name: string, kind: string, more: Partial<DeviceTraits> = {}): DeviceTraits {
  return { name, kind, slaveKind: '', type: ethernet, isLoopback: false, isUp: true, ...more };
}

const node: readonly DeviceTraits[] = [
  device('lo', '', { type: 772, isLoopback: true }),
  device('eth0', ''),
  device('eth1', '', { slaveKind: 'bond' }),
  device('bond0', 'bond'),
  device('bond0.7', 'vlan'),
  device('veth1', 'veth'),
  device('veth2', 'veth', { slaveKind: 'bridge' }),
  device('lxc1', 'netkit'),
  device('cni0', 'bridge'),
  device('flannel.1', 'vxlan'),
  device('dummy0', 'dummy'),
  device('wg0', 'wireguard', { type: none }),
  device('tunl0', 'ipip', { type: 768 }),
  device('tun0', 'tun', { type: none }),
  device('gre0', 'gre', { type: 778 }),
  device('sit0', 'sit', { type: 776 }),
  device('ifb0', 'ifb'),
];

const chosen = (filter: (device: DeviceTraits) => boolean) => node.filter(filter).map(({ name }) => name);

test('clients enter by veth, netkit, physical, bond and vlan devices and tunnels', () => {
  assert.equal(isClientDevice(device('tap0', 'tun')), false); // a virtual machine's
  assert.equal(isClientDevice(device('tunl0', 'ipip', { type: 768, isUp: false })), false); // the module's own
  assert.deepEqual(chosen(isClientDevice), [
    'eth0',
    'bond0',
    'bond0.7',
    'veth1',
    'veth2',
    'lxc1',
    'flannel.1',
    'wg0',
    'tunl0',
    'tun0',
  ]);
});

test('--devices replaces the rule by names and globs, but never takes a device that cannot be read', () => {
  assert.deepEqual(chosen(parseDevices('dummy0, veth?')), ['veth1', 'veth2', 'dummy0']);
  assert.deepEqual(chosen(parseDevices('*0')), [
    ...['eth0', 'bond0', 'cni0', 'dummy0', 'wg0', 'tunl0', 'tun0', 'ifb0'],
  ]);
  assert.deepEqual(chosen(parseDevices('bond0.7')), ['bond0.7']);
  assert.deepEqual(chosen(parseDevices('gre0,sit0,lo')), []);
});

test('!name leaves a device out, of the rule where nothing else is named', () => {
  assert.deepEqual(chosen(parseDevices('!veth*,!lxc1,!*tun*')), [
    ...['eth0', 'bond0', 'bond0.7', 'flannel.1', 'wg0'],
  ]);
  assert.deepEqual(chosen(parseDevices('veth*,!veth2')), ['veth1']);
});

test('each plain name of --devices that brings no device is told of', () => {
  const names = namedDevices('eth0, nosuch, gre0,lo,veth*,veth?,!dummy0');
  assert.deepEqual(names, ['eth0', 'nosuch', 'gre0', 'lo']);
  assert.deepEqual(deviceProblems(names, node), [
    'there is no device nosuch yet',
    'gre0 cannot be served: only devices whose packets begin with an Ethernet or an IP header can, and lo need not',
    'lo cannot be served: only devices whose packets begin with an Ethernet or an IP header can, and lo need not',
  ]);
});

for (const text of ['', 'eth0,,eth1', '!', 'eth/0', 'a-name-that-is-too-long']) {
  test(`"${text}" is no list of devices`, () => {
    assert.throws(() => parseDevices(text), InputError);
  });
}

/** The same node; whose port a device is tells its master's index, too. */
const withMasters: readonly XdpTraits[] = [
  ...node.map((each) => ({ ...each, masterIndex: each.slaveKind === '' ? 0 : 9 })),
  { ...device('vf0', ''), masterIndex: 2 }, // of a synthetic NIC, which has no kind of port
  { ...device('eth5', '', { slaveKind: 'vrf' }), masterIndex: 3 },
];
const chosenForXdp = (filter: XdpDeviceFilter) => withMasters.filter(filter).map(({ name }) => name);

test('XDP is for physical and bond devices that are no ports', () => {
  assert.deepEqual(chosenForXdp(isNic), ['eth0', 'bond0', 'eth5']);
});

test('--xdp-devices names them, or leaves some out, and a veth only in full', () => {
  assert.deepEqual(chosenForXdp(parseXdpDevices('eth*')), ['eth0', 'eth5']);
  assert.deepEqual(chosenForXdp(parseXdpDevices('!eth0')), ['bond0', 'eth5']);
  assert.deepEqual(chosenForXdp(parseXdpDevices('*,!eth*,!bond*')), ['cni0', 'flannel.1', 'dummy0', 'ifb0']);
  assert.deepEqual(chosenForXdp(parseXdpDevices('veth*,lxc?')), []);
  assert.deepEqual(chosenForXdp(parseXdpDevices('veth1,veth2,lxc1')), ['veth1', 'lxc1']);
  assert.throws(() => parseXdpDevices('eth0,'), InputError);
});
