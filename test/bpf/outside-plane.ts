// SPDX-License-Identifier: Apache-2.0
// A network namespace whose one device leads off the node, and planes whose services have their destination behind it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { encode } from '../../src/dataplane/bpf/struct.ts';
import { addressBytes } from '../../src/model/address.ts';
import { listLinks } from '../../src/native/netlink.ts';
import type { LinkRecord } from '../../src/native/network-records.ts';
import { TestPlane } from '../lib/plane.ts';
import { ip, u32 } from './native/sample.ts';

export const outsideRows = [
  {
    family: 'v4',
    client: '192.0.2.100',
    node: '192.0.2.11',
    next: '192.0.2.12',
    length: 24,
    virtual: '198.51.100.80',
    destination: '10.244.2.20',
    range: '10.244.2.0/24',
    format: (address: string, port: number) => `${address}:${port}`,
  },
  {
    family: 'v6',
    client: 'fd00:192:0:2::100',
    node: 'fd00:192:0:2::11',
    next: 'fd00:192:0:2::12',
    length: 64,
    virtual: 'fd00:198:51:100::80',
    destination: 'fd00:10:244:2::20',
    range: 'fd00:10:244:2::/64',
    format: (address: string, port: number) => `[${address}]:${port}`,
  },
] as const;

export type OutsideRow = (typeof outsideRows)[number];

export const macNext = '02:00:00:00:00:12';
export const macOfClient = '02:00:00:00:00:64';

/** In the namespace that the test file has for itself. @returns the device */
export function makeOutside(): LinkRecord {
  for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
    writeFileSync(`/proc/sys/net/${path}`, '1');
  for (const device of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${device}/accept_dad`, '0');
  ip('link set lo up');
  ip('link add nic0 type veth peer name nic1');
  ip('link set nic1 up');
  ip('link set nic0 up');
  for (const { node, next, client, length, range } of outsideRows) {
    ip(`address add ${node}/${length} dev nic0${node.includes(':') ? ' nodad' : ''}`);
    ip(`neighbour add ${next} lladdr ${macNext} dev nic0 nud permanent`);
    ip(`neighbour add ${client} lladdr ${macOfClient} dev nic0 nud permanent`);
    ip(`route add ${range} via ${next}`);
  }
  const nic = listLinks().find(({ name }) => name === 'nic0');
  assert.ok(nic);
  return nic;
}

/** With one service; test runs come in by lo, which counts as an uplink, too. The end of the test closes it. */
export function outsidePlane(
  { virtual, destination, format }: OutsideRow,
  protocol: 'tcp' | 'udp' | 'sctp',
  nic: LinkRecord,
): TestPlane {
  const plane = TestPlane.reuse();
  after(() => plane[Symbol.dispose]());
  const { maps } = plane.plane.programs;
  const source4 = addressBytes(outsideRows[0].node);
  const uplink = encode(layouts.uplink, { source4, source6: addressBytes(outsideRows[1].node) });
  for (const index of [1, nic.index]) maps.get('uplinks').update(u32(index), uplink);
  plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
  setAnsweringBits(plane);
  return plane;
}

/** The filter lets pass what is for the node's addresses, as with a daemon. */
function setAnsweringBits(plane: TestPlane): void {
  const filter = plane.plane.programs.maps.get('virtual_addresses');
  for (const key of [...filter.keys()]) filter.update(key, new Uint8Array(8).fill(0xff));
}
