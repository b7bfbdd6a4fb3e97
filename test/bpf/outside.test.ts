// SPDX-License-Identifier: Apache-2.0
// Packets between an outside client and a destination on another node, through tc: sent on as a router would, or refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extension, fragmentsOf, withExtensions } from '../lib/fragments.ts';
import {
  assertPacket,
  buildPacket,
  checksum,
  macClient,
  macNode,
  type PacketDescription,
  printPacket,
} from '../lib/packet.ts';
import { inNetworkNamespace } from './native/sample.ts';
import { makeOutside, outsidePlane, outsideRows } from './outside-plane.ts';

/** BPF_F_TEST_SKB_CHECKSUM_COMPLETE: as from a device that sums; the kernel checks skb->csum after the run. */
const checksumComplete = 1 << 2;
const mtu = 1500;
const quoteMax = 96;
const hopLimit = 63;

inNetworkNamespace(import.meta.filename, () => {
  const nic = makeOutside();
  for (const row of outsideRows) {
    const { family, client, node, virtual, destination } = row;
    const isV4 = family === 'v4';
    const router = isV4 ? '203.0.113.9' : 'fd00:203:0:113::9';

    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      const title = `${family} ${protocol} outside`;
      const isSctp = protocol === 'sctp';
      const request: PacketDescription = {
        source: client,
        sourcePort: 40000,
        destination: virtual,
        destinationPort: 80,
        protocol,
        flags: isSctp ? 'INIT' : 'S',
        payload: new TextEncoder().encode('the quick brown fox'),
      };
      const sent = { source: node, destination, destinationPort: 8080 };
      const reply: PacketDescription = {
        ...request,
        source: destination,
        sourcePort: 8080,
        destination: node,
        destinationPort: 40000,
        flags: isSctp ? 'INIT-ACK' : 'SA',
      };
      const seen = { source: virtual, sourcePort: 80, destination: client };
      const long = { payload: new Uint8Array(1600).fill(7) };
      const ways = [
        { name: 'request', packet: request, change: sent },
        { name: 'reply', packet: reply, change: seen },
      ] as const;

      /** A plane whose connection has had its first packet. */
      function opened() {
        const plane = outsidePlane(row, protocol, nic);
        assert.equal(plane.ingress(buildPacket(request)).verdict, 'redirect');
        return plane;
      }

      test(`${title}: a first packet too long → refused, and the next one is sent out as from the node`, () => {
        const plane = outsidePlane(row, protocol, nic);
        assert.equal(plane.ingress(buildPacket({ ...request, ...long })).verdict, 'redirect');
        assert.equal(plane.reason('rejected_too_big'), 1n);
        const outcome = plane.ingress(buildPacket(request));
        assert.equal(outcome.verdict, 'redirect');
        assertPacket(outcome.packet, { ...request, ...sent, hopLimit });
      });

      test(`${title}: a reply's SYN after the connection has ended → a process of this node gets it, and the entry is free`, {
        skip: protocol !== 'tcp',
      }, () => {
        const plane = opened();
        const [answers, asks] = [buildPacket(reply), (flags: string) => buildPacket({ ...request, flags })];
        assert.equal(plane.ingress(answers).verdict, 'redirect');
        for (const flags of ['A', 'FA']) plane.ingress(asks(flags));
        plane.ingress(buildPacket({ ...reply, flags: 'FA' }));
        const outcome = plane.ingress(answers);
        assert.equal(outcome.verdict, 'pass');
        assert.deepEqual([...outcome.packet], [...answers]);
        assert.deepEqual([...plane.plane.connections()], []);
      });

      for (const { name, packet, change } of ways) {
        for (const flags of [0, checksumComplete]) {
          const how = flags ? 'summed up by the device ' : '';
          test(`${title}: a ${name} ${how}→ sent out, one hop older`, () => {
            const outcome = opened().ingress(buildPacket(packet), flags);
            assert.equal(outcome.verdict, 'redirect');
            assertPacket(outcome.packet, { ...packet, ...change, hopLimit });
          });
        }

        for (const [what, more, icmp, counter] of [
          [
            'at its last hop',
            { hopLimit: 1 },
            isV4 ? { type: 11, code: 0 } : { type: 3, code: 0 },
            'time_exceeded',
          ],
          [
            'too long',
            long,
            isV4 ? { type: 3, code: 4, rest: mtu } : { type: 2, code: 0, rest: mtu },
            'too_big',
          ],
        ] as const) {
          test(`${title}: a ${name} ${what} → back as an ICMP error about it`, () => {
            const plane = opened();
            const refused = { ...packet, ...more };
            const outcome = plane.ingress(buildPacket(refused));
            assert.equal(outcome.verdict, 'redirect');
            assert.equal(plane.reason(`rejected_${counter}`), 1n);
            const wanted = withoutId(buildPacket(refusalOf(refused, icmp, outcome.packet)));
            assert.equal(printPacket(outcome.packet), printPacket(wanted));
            assert.deepEqual([...outcome.packet], [...wanted]);
          });
        }

        test(`${title}: the fragments of a ${name} → sent out with the same addresses`, {
          skip: isSctp,
        }, () => {
          const plane = opened();
          const whole = { ...packet, ...long };
          const pieces = fragmentsOf(buildPacket(whole), [800, 400]);
          const wanted = fragmentsOf(buildPacket({ ...whole, ...change, hopLimit }), [800, 400]);
          assert.equal(pieces.length, 3);
          for (const [i, piece] of pieces.entries()) {
            const outcome = plane.ingress(piece);
            assert.equal(outcome.verdict, 'redirect', `piece ${i}`);
            assert.deepEqual([...outcome.packet], [...(wanted[i] ?? [])], `piece ${i}`);
          }
        });

        test(`${title}: the first fragment of a ${name} too long or at its last hop → refused, the others dropped`, {
          skip: isSctp,
        }, () => {
          const far = { ...packet, payload: new Uint8Array(3200) };
          for (const [counter, more, size] of [
            ['too_big', {}, 1600],
            ['time_exceeded', { hopLimit: 1 }, 800],
          ] as const) {
            const plane = opened();
            const [first, ...others] = fragmentsOf(buildPacket({ ...far, ...more }), [size, size]);
            assert.ok(first);
            assert.equal(plane.ingress(first).verdict, 'redirect');
            assert.equal(plane.reason(`rejected_${counter}`), 1n);
            for (const other of others) assert.equal(plane.ingress(other).verdict, 'drop');
            assert.equal(plane.reason('dropped_fragment_orphan'), BigInt(others.length));
          }
        });

        test(`${title}: a later fragment of a ${name} at its last hop → dropped`, { skip: isSctp }, () => {
          const plane = opened();
          const pieces = (more: object) => fragmentsOf(buildPacket({ ...packet, ...long, ...more }), [800]);
          assert.equal(plane.ingress(pieces({})[0] ?? new Uint8Array()).verdict, 'redirect');
          assert.equal(plane.ingress(pieces({ hopLimit: 1 })[1] ?? new Uint8Array()).verdict, 'drop');
          assert.equal(plane.reason('dropped_last_hop'), 1n);
        });

        test(`${title}: a ${name} with destination options → sent out with them, or refused`, {
          skip: isV4,
        }, () => {
          const plane = opened();
          const options = { number: extension.destination, bytes: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) };
          const outcome = plane.ingress(withExtensions(buildPacket(packet), options));
          assert.equal(outcome.verdict, 'redirect');
          const wanted = withExtensions(buildPacket({ ...packet, ...change, hopLimit }), options);
          assert.deepEqual([...outcome.packet], [...wanted]);
          for (const more of [{ hopLimit: 1 }, long]) {
            const refused = plane.ingress(withExtensions(buildPacket({ ...packet, ...more }), options));
            assert.match(printPacket(refused.packet), new RegExp(`^protocol 58 ${packet.destination} > `));
          }
          assert.deepEqual(
            ['time_exceeded', 'too_big'].map((each) => plane.reason(`rejected_${each}`)),
            [1n, 1n],
          );
        });
      }

      const quote = (packet: PacketDescription) => buildPacket(packet).subarray(14);
      const error = (about: Uint8Array, source: string, to: string): PacketDescription => ({
        source,
        destination: to,
        protocol: 'icmp',
        icmp: isV4 ? { type: 3, code: 4, rest: 1280 } : { type: 2, code: 0, rest: 1280 },
        payload: about,
      });
      for (const flags of [0, checksumComplete]) {
        const how = flags ? ', summed up by the device' : '';
        test(`${title}: an ICMP error about a request, from a router${how} → to the client, about its own packet`, () => {
          const outcome = opened().ingress(
            buildPacket(error(quote({ ...request, ...sent }), router, node)),
            flags,
          );
          assert.equal(outcome.verdict, 'redirect');
          const original = withCrcOf(request, { ...request, ...sent });
          assertPacket(outcome.packet, { ...error(original, virtual, client), hopLimit });
        });

        test(`${title}: an ICMP error about a request${how}, at its last hop → dropped`, () => {
          const plane = opened();
          const late = { ...error(quote({ ...request, ...sent }), router, node), hopLimit: 1 };
          assert.equal(plane.ingress(buildPacket(late), flags).verdict, 'drop');
          assert.equal(plane.reason('dropped_last_hop'), 1n);
        });

        test(`${title}: an ICMP error about a reply, from a router${how} → to the destination, about its own packet`, () => {
          const plane = opened();
          plane.ingress(buildPacket(reply));
          const outcome = plane.ingress(
            buildPacket(error(quote({ ...reply, ...seen }), router, virtual)),
            flags,
          );
          assert.equal(outcome.verdict, 'redirect');
          const original = withCrcOf(reply, { ...reply, ...seen });
          assertPacket(outcome.packet, { ...error(original, node, destination), hopLimit });
        });
      }

      /** What a sender is told; what stands in for the checksum in the quote is nobody's concern. */
      function refusalOf(
        packet: PacketDescription,
        icmp: NonNullable<PacketDescription['icmp']>,
        actual: Uint8Array,
      ): PacketDescription {
        const quoted = Uint8Array.from(quote(packet).subarray(0, quoteMax));
        if (!isSctp) {
          const field = (isV4 ? 20 : 40) + (protocol === 'tcp' ? 16 : 6);
          const at = 14 + (isV4 ? 28 : 48) + field;
          quoted.set(actual.subarray(at, at + 2), field);
        }
        return {
          source: packet.destination,
          destination: packet.source,
          protocol: 'icmp',
          icmp,
          payload: quoted,
          sourceMac: macNode,
          destinationMac: macClient,
          hopLimit: 64,
          ...(isV4 && { fragment: 0 }),
        };
      }

      /** A quoted packet before its translation. The CRC of a quoted SCTP packet stays that of the translated one. */
      function withCrcOf(before: PacketDescription, after: PacketDescription): Uint8Array {
        const bytes = Uint8Array.from(quote(before));
        const crc = isV4 ? 28 : 48;
        if (isSctp) bytes.set(quote(after).subarray(crc, crc + 4), crc);
        return bytes;
      }
    }
  }
});

/** The kernel's own errors and ours have no identification: nobody fragments them. */
function withoutId(frame: Uint8Array): Uint8Array {
  if (frame[12] !== 0x08) return frame;
  const bytes = Uint8Array.from(frame);
  bytes.set([0, 0], 18);
  bytes.set([0, 0], 24);
  const sum = checksum(bytes.subarray(14, 34));
  bytes.set([sum >> 8, sum & 0xff], 24);
  return bytes;
}
