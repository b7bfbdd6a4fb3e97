// SPDX-License-Identifier: Apache-2.0
// Packets between an outside client and a destination on another node, at XDP: sent straight out once tc has found the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { encode } from '../../src/dataplane/bpf/struct.ts';
import { buildPacket, type PacketDescription, printPacket, tupleOf } from '../lib/packet.ts';
import type { TestPlane } from '../lib/plane.ts';
import { inNetworkNamespace, u32 } from './native/sample.ts';
import { macNext, macOfClient, makeOutside, outsidePlane, outsideRows } from './outside-plane.ts';

inNetworkNamespace(import.meta.filename, () => {
  const nic = makeOutside();
  const macNic = nic.address.toString('hex').replace(/..(?!$)/g, '$&:');
  const toNext = { sourceMac: macNic, destinationMac: macNext, hopLimit: 63 };

  for (const row of outsideRows) {
    const { family, client, node, virtual, destination } = row;
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
        const plane = outsidePlane(row, protocol, nic);
        const { maps } = plane.plane.programs;
        const device = {
          ifindex: nic.index,
          address: nic.address,
          may_send: maySend,
        };
        maps.get('xdp_devices').update(u32(device.ifindex), encode(layouts.xdp_device, device));
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

      test(`xdp ${family} ${protocol} outside: a first packet, an old way, no hop left to live, too long, a device that may not send → left to tc`, () => {
        const { plane } = open();
        const isLeft = (each: TestPlane, packet: PacketDescription) => {
          const frame = buildPacket(packet);
          assert.deepEqual([...each.xdp(frame).packet], [...frame]);
        };
        if (protocol !== 'udp') isLeft(plane, request);
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
