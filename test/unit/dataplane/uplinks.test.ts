// SPDX-License-Identifier: Apache-2.0
// Which devices lead off a node, by rule and by option, and which address packets leave there with.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isClientDevice } from '../../../src/dataplane/bpf/devices.ts';
import { isUplink, type Network, parseUplinks, sourcesOf } from '../../../src/dataplane/bpf/uplinks.ts';
import { InputError } from '../../../src/errors.ts';
import { addressBytes } from '../../../src/model/address.ts';
import type { AddressRecord, LinkRecord } from '../../../src/native/network-records.ts';

const ethernet = 1;
const none = 65534;
const linkScope = 253;

function link(index: number, name: string, kind: string, more: Partial<LinkRecord> = {}): LinkRecord {
  return {
    index,
    name,
    kind,
    slaveKind: '',
    type: ethernet,
    address: Buffer.alloc(6),
    masterIndex: 0,
    linkIndex: 0,
    linkNamespaceId: undefined,
    mtu: 1500,
    isUp: true,
    isLoopback: false,
    ...more,
  };
}

function address(ifindex: number, text: string, more: Partial<AddressRecord> = {}): AddressRecord {
  const [plain = '', length] = text.split('/');
  const family = plain.includes(':') ? 6 : 4;
  const bytes = Buffer.from(addressBytes(plain));
  return {
    ifindex,
    family,
    address: family === 4 ? bytes.subarray(0, 4) : bytes,
    prefixLength: Number(length),
    scope: 0,
    isTentative: false,
    isDeprecated: false,
    ...more,
  };
}

const links: readonly LinkRecord[] = [
  link(1, 'lo', '', { isLoopback: true, type: 772 }),
  link(2, 'eth0', ''),
  link(3, 'eth1', '', { slaveKind: 'bridge', masterIndex: 4 }),
  link(4, 'br0', 'bridge'),
  link(5, 'bond0', 'bond'),
  link(6, 'bond0.7', 'vlan'),
  link(7, 'flannel.1', 'vxlan'),
  link(8, 'genev_sys', 'geneve'),
  link(9, 'wg0', 'wireguard', { type: none }),
  link(10, 'tunl0', 'ipip', { type: 768 }),
  link(11, 'tun0', 'tun', { type: none }),
  link(12, 'cni0', 'bridge'),
  link(13, 'veth1', 'veth', { slaveKind: 'bridge', masterIndex: 12 }),
  link(14, 'cali1', 'veth'),
  link(15, 'veth2', 'veth'),
  link(16, 'leg0', 'veth'),
  link(17, 'lxc1', 'netkit'),
  link(18, 'dummy0', 'dummy'),
  link(19, 'ifb0', 'ifb'),
];

const addresses: readonly AddressRecord[] = [
  address(1, '127.0.0.1/8'),
  address(12, '10.244.1.1/24'),
  address(14, 'fe80::1/64', { scope: linkScope }),
  address(15, '10.244.1.1/32'),
  address(15, 'fd00:10:244:1::1/128'),
  address(16, '172.18.0.2/16'),
  address(18, '169.254.20.10/24'),
];

const node: Network = { links, addresses };

function chosenBy(filter = isUplink): string {
  return links
    .filter((each) => filter(each, node))
    .map(({ name }) => name)
    .join(' ');
}

suite('uplinks', () => {
  test("physical devices, bonds, VLANs, tunnels, their bridges and a node's own leg lead off it; pods' devices do not", () => {
    assert.equal(chosenBy(), 'eth0 eth1 br0 bond0 bond0.7 flannel.1 genev_sys wg0 tunl0 tun0 leg0');
  });

  for (const [option, chosen] of [
    ['eth0', 'eth0'],
    ['eth*,cni0', 'eth0 eth1 cni0'],
    ['veth?,!veth1', 'veth2'],
    ['!wg0,!br0,!*_sys', 'eth0 eth1 bond0 bond0.7 flannel.1 tunl0 tun0 leg0'],
    ['lo', ''],
  ] as const) {
    test(`--uplinks ${option}: ${chosen || 'none'}`, () => {
      assert.equal(chosenBy(parseUplinks(option)), chosen);
    });
  }

  for (const wrong of ['', 'eth0,', '!!eth0', 'a/b', 'a-name-of-16-char']) {
    test(`--uplinks "${wrong}" is refused with a line that says what is expected`, () => {
      assert.throws(
        () => parseUplinks(wrong),
        (error) =>
          error instanceof InputError &&
          error.message.includes(
            `Expected device names, globs or !names joined by commas but received "${wrong}"`,
          ),
      );
    });
  }
});

suite('sources of uplinks', () => {
  const two = [link(2, 'eth0', ''), link(3, 'eth1', '')];
  const sources = (...found: readonly AddressRecord[]) =>
    [...sourcesOf({ links: two, addresses: found }, isUplink, isClientDevice, 100)].map(([index, each]) => [
      index,
      ...each,
    ]);

  test('each device has its first address of each family', () => {
    const found = sources(
      address(2, '192.0.2.11/24'),
      address(2, '192.0.2.99/24'),
      address(2, 'fd00:192:0:2::11/64'),
      address(3, '203.0.113.1/24'),
      address(3, 'fd00:203:0:113::1/64'),
    );
    assert.deepEqual(found, [
      [2, '192.0.2.11', 'fd00:192:0:2::11'],
      [3, '203.0.113.1', 'fd00:203:0:113::1'],
    ]);
  });

  test('a device without an address has that of the first one that has any; with none there is none', () => {
    assert.deepEqual(sources(address(3, '203.0.113.1/24')), [
      [2, '203.0.113.1', undefined],
      [3, '203.0.113.1', undefined],
    ]);
  });

  test('a device that is not served has the address of one that is, where replies are met', () => {
    const mixed = [link(9, 'gre0', 'gre', { type: 778 }), link(10, 'sit0', 'sit', { type: 776 }), ...two];
    const found = [address(9, '10.9.0.1/24'), address(3, '203.0.113.1/24')];
    assert.deepEqual(
      [...sourcesOf({ links: mixed, addresses: found }, isUplink, isClientDevice, 100)].map(
        ([index, [source4]]) => [index, source4],
      ),
      [9, 10, 2, 3].map((index) => [index, '203.0.113.1']),
    );
    const alone = sourcesOf({ links: mixed.slice(0, 2), addresses: found }, isUplink, isClientDevice, 100);
    assert.deepEqual(alone.get(9), [undefined, undefined]);
  });

  test('addresses that are tentative, deprecated or for this link or host alone are passed over', () => {
    const found = sources(
      address(2, 'fe80::1/64', { scope: linkScope }),
      address(2, 'fd00:192:0:2::10/64', { isTentative: true }),
      address(2, 'fd00:192:0:2::11/64', { isDeprecated: true }),
      address(2, 'fd00:192:0:2::12/64'),
      address(2, '127.0.0.2/8', { scope: 254 }),
    );
    assert.deepEqual(found[0], [2, undefined, 'fd00:192:0:2::12']);
  });

  test('an address of a device that is no uplink is nobody’s source', () => {
    const mixed = { links: [...two, link(18, 'dummy0', 'dummy')], addresses: [address(18, '192.0.2.50/24')] };
    assert.deepEqual(
      [...sourcesOf(mixed, isUplink, isClientDevice, 100)],
      [
        [2, [undefined, undefined]],
        [3, [undefined, undefined]],
      ],
    );
  });

  test('no more devices are taken than the map holds', () => {
    assert.deepEqual(sources().length, 2);
    assert.deepEqual([...sourcesOf({ links: two, addresses: [] }, isUplink, isClientDevice, 1).keys()], [2]);
  });
});
