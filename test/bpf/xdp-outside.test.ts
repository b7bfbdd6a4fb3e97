// SPDX-License-Identifier: Apache-2.0
// Packets between an outside client and a destination on another node, at XDP: sent straight out once tc has found the way.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { encode } from '../../src/dataplane/bpf/struct.ts';
import { addressBytes } from '../../src/model/address.ts';
import { listLinks } from '../../src/native/netlink.ts';
import { buildPacket, type PacketDescription, printPacket, tupleOf } from '../lib/packet.ts';
import { TestPlane } from '../lib/plane.ts';
import { inNetworkNamespace, ip, u32 } from './native/sample.ts';

const rows = [
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

const macNext = '02:00:00:00:00:12';
const macOfClient = '02:00:00:00:00:64';

inNetworkNamespace(import.meta.filename, () => {
  for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
    writeFileSync(`/proc/sys/net/${path}`, '1');
  for (const device of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${device}/accept_dad`, '0');
  ip('link set lo up');
  ip('link add nic0 type veth peer name nic1');
  ip('link set nic1 up');
  ip('link set nic0 up');
  for (const { node, next, client, length, range } of rows) {
    ip(`address add ${node}/${length} dev nic0${node.includes(':') ? ' nodad' : ''}`);
    ip(`neighbour add ${next} lladdr ${macNext} dev nic0 nud permanent`);
    ip(`neighbour add ${client} lladdr ${macOfClient} dev nic0 nud permanent`);
    ip(`route add ${range} via ${next}`);
  }
  const nic = listLinks().find(({ name }) => name === 'nic0');
  assert.ok(nic);
  const macNic = nic.address.toString('hex').replace(/..(?!$)/g, '$&:');
  const toNext = { sourceMac: macNic, destinationMac: macNext, hopLimit: 63 };

  for (const row of rows) {
    const { family, client, node, virtual, destination, format } = row;
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      const request: PacketDescription = {
        source: client,
        sourcePort: 40000,
        destination: virtual,
        destinationPort: 80,
        protocol,
        flags: protocol === 'sctp' ? 'INIT' : 'S',
        payload: new TextEncoder().encode('the quick brown fox'),
      };
      const next = { ...request, flags: protocol === 'sctp' ? 'DATA' : 'A' };

      /** With one connection that tc has opened and sent out, and the source port that it has there. */
      function open(maySend = 1): { plane: TestPlane; sourcePort: number } {
        const plane = new TestPlane();
        after(() => plane[Symbol.dispose]());
        const { maps } = plane.plane.programs;
        const source4 = addressBytes(rows[0].node);
        const uplink = encode(layouts.uplink, { source4, source6: addressBytes(rows[1].node) });
        for (const index of [1, nic?.index ?? 0]) maps.get('uplinks').update(u32(index), uplink);
        const device = {
          ifindex: nic?.index ?? 0,
          address: nic?.address ?? Buffer.alloc(6),
          may_send: maySend,
        };
        maps.get('xdp_devices').update(u32(device.ifindex), encode(layouts.xdp_device, device));
        plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
        setAnsweringBits(plane);
        assert.deepEqual([...plane.xdp(buildPacket(request)).packet], [...buildPacket(request)]);
        const first = plane.ingress(buildPacket(request));
        assert.equal(first.verdict, 'redirect');
        const port = /\d+$/.exec(tupleOf(first.packet).source)?.[0];
        return { plane, sourcePort: Number(port) };
      }

      const sent = (packet: PacketDescription, sourcePort: number): PacketDescription => ({
        ...packet,
        ...toNext,
        source: node,
        sourcePort,
        destination,
        destinationPort: 8080,
      });

      test(`xdp ${family} ${protocol} outside: the next request → sent to the next hop as from the node`, () => {
        const { plane, sourcePort } = open();
        const outcome = plane.xdp(buildPacket(next));
        assert.equal(outcome.verdict, 'redirect');
        const wanted = buildPacket(sent(next, sourcePort));
        assert.equal(printPacket(outcome.packet), printPacket(wanted));
        assert.deepEqual([...outcome.packet], [...wanted]);
      });

      test(`xdp ${family} ${protocol} outside: a reply → sent to the client as from the virtual address, once tc has sent one`, () => {
        const { plane, sourcePort } = open();
        const reply: PacketDescription = {
          ...next,
          source: destination,
          sourcePort: 8080,
          destination: node,
          destinationPort: sourcePort,
        };
        assert.deepEqual([...plane.xdp(buildPacket(reply)).packet], [...buildPacket(reply)]);
        assert.equal(plane.ingress(buildPacket(reply)).verdict, 'redirect');
        const outcome = plane.xdp(buildPacket(reply));
        assert.equal(outcome.verdict, 'redirect');
        const wanted: PacketDescription = {
          ...reply,
          ...toNext,
          destinationMac: macOfClient,
          source: virtual,
          sourcePort: 80,
          destination: client,
          destinationPort: 40000,
        };
        assert.deepEqual([...outcome.packet], [...buildPacket(wanted)]);
      });

      test(`xdp ${family} ${protocol} outside: an old way, no hop left to live, too long, a device that may not send → left to tc`, () => {
        const { plane } = open();
        const isLeft = (each: TestPlane, packet: PacketDescription) => {
          const frame = buildPacket(packet);
          assert.deepEqual([...each.xdp(frame).packet], [...frame]);
        };
        isLeft(plane, { ...next, hopLimit: 1 });
        isLeft(plane, { ...next, payload: new Uint8Array(1600) });
        assert.equal(plane.xdp(buildPacket(next)).verdict, 'redirect');
        plane.advance(2);
        isLeft(plane, next);
        isLeft(open(0).plane, next);
      });
    }
  }
});

/** The filter lets pass what is for the node's addresses, as with a daemon. */
function setAnsweringBits(plane: TestPlane): void {
  const filter = plane.plane.programs.maps.get('virtual_addresses');
  for (const key of [...filter.keys()]) filter.update(key, new Uint8Array(8).fill(0xff));
}
