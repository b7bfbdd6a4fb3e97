// SPDX-License-Identifier: Apache-2.0
// What XDP does by itself, and what it leaves to tc: whole packets, and what is counted of them.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SystemError } from '../../src/errors.ts';
import { buildPacket, join, type PacketDescription, printPacket } from '../lib/packet.ts';
import { missingForBpf, TestPlane, type TestPlaneOptions } from '../lib/plane.ts';
import { sum } from '../lib/wire.ts';

const rows = [
  {
    family: 'v4',
    client: '10.244.1.10',
    virtual: '10.96.0.10',
    destination: '10.244.2.20',
    format: (address: string, port: number) => `${address}:${port}`,
    transport: 34,
  },
  {
    family: 'v6',
    client: 'fd00:10:244:1::10',
    virtual: 'fd00:10:96::10',
    destination: 'fd00:10:244:2::20',
    format: (address: string, port: number) => `[${address}]:${port}`,
    transport: 54,
  },
] as const;

const [ipv4] = rows;
const payload = new TextEncoder().encode('the quick brown fox');

type Protocol = 'tcp' | 'udp' | 'sctp';
const protocols: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

function requestOf(
  row: (typeof rows)[number],
  protocol: Protocol,
  more: Partial<PacketDescription> = {},
): PacketDescription {
  const { client: source, virtual: destination } = row;
  return {
    source,
    sourcePort: 40000,
    destination,
    destinationPort: 80,
    protocol,
    flags: protocol === 'sctp' ? 'INIT' : 'S',
    payload,
    ...more,
  };
}

function openPlane(row: (typeof rows)[number], options: TestPlaneOptions = {}): TestPlane {
  const plane = TestPlane.reuse(options);
  for (const protocol of protocols)
    plane.serve(protocol, row.format(row.virtual, 80), [row.format(row.destination, 8080)]);
  return plane;
}

function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(printPacket(actual), printPacket(expected));
  assert.deepEqual([...actual], [...expected]);
}

/** XDP neither changed the frame nor took note of it. */
function assertLeft(plane: TestPlane, frame: Uint8Array): void {
  const outcome = plane.xdp(frame);
  assert.equal(outcome.verdict, 'pass');
  assert.deepEqual([...outcome.packet], [...frame]);
  assert.deepEqual([...plane.plane.connections()], []);
  for (const [name, count] of plane.plane.view.reasons()) assert.equal(count, 0n, name);
}

/** Where the transport checksum is. */
function checksumField(row: (typeof rows)[number], protocol: Protocol): number {
  return row.transport + { tcp: 16, udp: 6, sctp: 8 }[protocol];
}

function pseudoSum(row: (typeof rows)[number], protocol: 'tcp' | 'udp', frame: Buffer): number {
  const [first, last] = row.family === 'v4' ? [26, 34] : [22, 54];
  return sum(frame, first, last, (protocol === 'tcp' ? 6 : 17) + frame.length - row.transport);
}

/** A frame whose transport checksum is only begun, as a local sender leaves it for a device to complete. */
function partialFrame(row: (typeof rows)[number], protocol: Protocol): Uint8Array {
  const frame = Buffer.from(buildPacket(requestOf(row, protocol)));
  if (protocol === 'sctp') frame.writeUInt32BE(0, checksumField(row, protocol));
  else frame.writeUInt16BE(pseudoSum(row, protocol, frame), checksumField(row, protocol));
  return frame;
}

/**
 * With it the right checksum c is the sum of the pseudo header, p. It is ~(p + rest); with a word w in place of the 0 in
 * the payload it is ~(p + rest + w), which is p, modulo 0xffff, where w = c - p.
 */
function lookalikePayload(row: (typeof rows)[number], protocol: 'tcp' | 'udp'): Uint8Array {
  const frame = Buffer.from(buildPacket(requestOf(row, protocol, { payload: new Uint8Array(2) })));
  const whole = frame.readUInt16BE(checksumField(row, protocol));
  const word = (whole - pseudoSum(row, protocol, frame) + 0xffff) % 0xffff;
  return Uint8Array.of(word >> 8, word & 0xff);
}

suite('packets at XDP', { skip: missingForBpf() ?? false }, () => {
  for (const row of rows) {
    const { family, destination, virtual, client, format } = row;
    for (const protocol of protocols) {
      const title = `xdp ${family} ${protocol}`;
      const translated = { destination, destinationPort: 8080 };

      test(`${title}: the first request and the next → translated without tc`, () => {
        using plane = openPlane(row);
        for (const flags of protocol === 'sctp' ? ['INIT', 'COOKIE-ECHO', 'DATA'] : ['S', 'A', 'PA']) {
          const request = requestOf(row, protocol, { flags });
          const outcome = plane.xdp(buildPacket(request));
          assert.equal(outcome.verdict, 'pass');
          assertBytes(outcome.packet, buildPacket({ ...request, ...translated }));
        }
      });

      test(`${title}: a request that tc meets afterwards → translated and counted once`, () => {
        using plane = openPlane(row, { wayIn: 'xdp and tc' });
        const request = requestOf(row, protocol);
        assertBytes(plane.ingress(buildPacket(request)).packet, buildPacket({ ...request, ...translated }));
        const served = plane.plane
          .services()
          .filter((service) => service.protocol === protocol)
          .flatMap((service) => service.destinations.map(({ statistics }) => statistics));
        assert.deepEqual(
          served.map(({ connections, inPackets }) => ({ connections, inPackets })),
          [{ connections: 1n, inPackets: 1n }],
        );
      });

      test(`${title}: a connection that tc has opened → goes on at XDP, and the other way round`, () => {
        using plane = openPlane(row);
        const [one, two] = [40000, 40001].map((sourcePort) => requestOf(row, protocol, { sourcePort }));
        assert.ok(one && two);
        plane.ingress(buildPacket(one));
        plane.xdp(buildPacket(two));
        const next = (request: PacketDescription) => ({
          ...request,
          flags: protocol === 'sctp' ? 'DATA' : 'A',
        });
        assertBytes(plane.xdp(buildPacket(next(one))).packet, buildPacket({ ...next(one), ...translated }));
        assertBytes(
          plane.ingress(buildPacket(next(two))).packet,
          buildPacket({ ...next(two), ...translated }),
        );
        assert.equal([...plane.plane.connections()].length, 2);
      });

      test(`${title}: the checksum still to be completed by a device → left to tc`, () => {
        using plane = openPlane(row);
        assertLeft(plane, partialFrame(row, protocol));
      });

      test(`${title}: a service without destinations → left to tc`, () => {
        using plane = TestPlane.reuse();
        plane.serve(protocol, format(virtual, 80), []);
        assertLeft(plane, buildPacket(requestOf(row, protocol)));
      });

      test(`${title}: a client that is its own destination → opened, and left to tc to be turned round`, () => {
        using plane = TestPlane.reuse();
        plane.serve(protocol, format(virtual, 80), [format(client, 8080)]);
        for (const flags of protocol === 'sctp' ? ['INIT', 'DATA'] : ['S', 'A']) {
          const frame = buildPacket(requestOf(row, protocol, { flags }));
          assert.deepEqual([...plane.xdp(frame).packet], [...frame]);
        }
      });

      test(`${title}: a destination that is a virtual address and port, too → left to tc, which translates it once`, () => {
        using plane = TestPlane.reuse({ wayIn: 'xdp and tc' });
        plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
        plane.serve(protocol, format(destination, 8080), [format(virtual, 9)]);
        const request = requestOf(row, protocol);
        const frame = buildPacket(request);
        assert.deepEqual([...plane.xdp(frame).packet], [...frame]);
        assertBytes(plane.ingress(frame).packet, buildPacket({ ...request, ...translated }));
      });

      test(`${title}: a destination at another port of a virtual address → translated without tc`, () => {
        using plane = TestPlane.reuse();
        plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
        plane.serve(protocol, format(destination, 443), [format(virtual, 9)]);
        const request = requestOf(row, protocol);
        assertBytes(plane.xdp(buildPacket(request)).packet, buildPacket({ ...request, ...translated }));
      });

      for (const [what, destinationMac] of [
        ['everyone', 'ff:ff:ff:ff:ff:ff'],
        ['many', '01:00:5e:00:00:01'],
        ['another host', '02:00:00:00:00:99'],
      ] as const) {
        test(`${title}: in a frame for ${what} → left to tc`, () => {
          using plane = openPlane(row);
          assertLeft(plane, buildPacket(requestOf(row, protocol, { destinationMac })));
        });
      }

      test(`${title}: by a device that XDP was not asked for → left to tc`, () => {
        using plane = openPlane(row);
        plane.plane.programs.maps.get('xdp_devices').update(new Uint8Array([1, 0, 0, 0]), new Uint8Array(16));
        assertLeft(plane, buildPacket(requestOf(row, protocol)));
      });

      test(`${title}: with a VLAN tag → left to tc`, () => {
        using plane = openPlane(row);
        const frame = buildPacket(requestOf(row, protocol));
        assertLeft(plane, join(frame.subarray(0, 12), Uint8Array.of(0x81, 0, 0, 7), frame.subarray(12)));
      });

      test(`${title}: cut off, or with lengths that contradict each other → left to tc`, () => {
        using plane = openPlane(row);
        const frame = buildPacket(requestOf(row, protocol));
        for (let length = row.transport; length < frame.length; length++)
          assertLeft(plane, frame.subarray(0, length));
      });

      test(`${title}: to another port, from port 20, from where nobody can be answered → left to tc`, () => {
        using plane = openPlane(row);
        for (const other of [{ destinationPort: 81 }, { sourcePort: 20 }, { source: virtual }])
          assertLeft(plane, buildPacket(requestOf(row, protocol, other)));
      });

      test(`${title}: a frame of several buffers → translated, the later ones untouched`, () => {
        using plane = openPlane(row);
        const request = requestOf(row, protocol, { payload: Uint8Array.from({ length: 8900 }, (_, i) => i) });
        assertBytes(plane.xdp(buildPacket(request)).packet, buildPacket({ ...request, ...translated }));
      });

      test(`${title}: a frame whose first buffer does not hold the headers → left to tc`, (t) => {
        using plane = openPlane(row);
        const frame = buildPacket(requestOf(row, protocol));
        const context = Buffer.alloc(24); // struct xdp_md
        context.writeUInt32LE(row.transport + 4, 4); // data_end
        const program = plane.plane.programs.program('xdp_ingress');
        try {
          const { returnValue, data } = program.testRun({ data: frame, context });
          assert.deepEqual([returnValue, ...data], [2, ...frame]);
          assert.deepEqual([...plane.plane.connections()], []);
        } catch (error) {
          if (!(error instanceof SystemError && error.code === 'EINVAL')) throw error;
          t.skip('test runs take no length of the first buffer before Linux 6.18');
        }
      });
    }

    for (const protocol of ['tcp', 'udp'] as const) {
      test(`xdp ${family} ${protocol}: a whole packet whose checksum looks like one still to be completed → left to tc, which translates it`, () => {
        using plane = openPlane(row, { wayIn: 'xdp and tc' });
        const request = requestOf(row, protocol, { payload: lookalikePayload(row, protocol) });
        const frame = buildPacket(request);
        assertLeft(plane, frame);
        assertBytes(
          plane.ingress(frame).packet,
          buildPacket({ ...request, destination, destinationPort: 8080 }),
        );
      });
    }

    test(`xdp ${family} tcp: in mid-stream without a connection → left to tc`, () => {
      using plane = openPlane(row);
      for (const flags of ['A', 'PA', 'FA', 'R', 'RA', 'SR', ''])
        assertLeft(plane, buildPacket(requestOf(row, 'tcp', { flags })));
    });

    test(`xdp ${family} udp: a datagram without checksum → has none afterwards`, () => {
      using plane = openPlane(row);
      const request = requestOf(row, 'udp', { hasNoChecksum: true });
      const expected = buildPacket({ ...request, destination, destinationPort: 8080 });
      assertBytes(plane.xdp(buildPacket(request)).packet, expected);
    });

    test(`xdp ${family} udp: a checksum that comes out as zero → is sent as 0xffff`, () => {
      using plane = openPlane(row);
      const bare = requestOf(row, 'udp', { payload: new Uint8Array(2) });
      const without = buildPacket({ ...bare, destination, destinationPort: 8080 });
      const request = { ...bare, payload: without.slice(row.transport + 6, row.transport + 8) };
      const expected = buildPacket({ ...request, destination, destinationPort: 8080 });
      assert.deepEqual([...expected.subarray(row.transport + 6, row.transport + 8)], [0xff, 0xff]);
      assertBytes(plane.xdp(buildPacket(request)).packet, expected);
    });

    test(`xdp ${family}: the orphan of a removed destination → left to tc, which drops and counts it`, () => {
      using plane = TestPlane.reuse({ wayIn: 'xdp and tc' });
      const service = plane.serve('udp', format(virtual, 80), [format(destination, 8080)]);
      const frame = buildPacket(requestOf(row, 'udp'));
      plane.ingress(frame);
      plane.apply({ do: 'delete-destination', service, destination: { address: destination, port: 8080 } });
      assert.deepEqual([...plane.xdp(frame).packet], [...frame]);
      assert.equal(plane.reason('dropped_destination_gone'), 0n);
      assert.equal(plane.ingress(frame).verdict, 'drop');
      assert.equal(plane.reason('dropped_destination_gone'), 1n);
    });
  }

  test('xdp v4: IP options, fragments, ICMP → left to tc', () => {
    using plane = openPlane(ipv4);
    for (const protocol of ['tcp', 'udp'] as const) {
      assertLeft(plane, buildPacket(requestOf(ipv4, protocol, { options: Uint8Array.of(148, 4, 0, 0) })));
      for (const fragment of [0x2000, 0x2001, 0x0001])
        assertLeft(plane, buildPacket(requestOf(ipv4, protocol, { fragment })));
    }
    const { client: source, virtual: destination } = ipv4;
    assertLeft(plane, buildPacket({ source, destination, protocol: 'icmp' }));
  });

  for (const [what, header] of [
    ['hop-by-hop options', 0],
    ['a routing header', 43],
    ['a fragment header', 44],
    ['destination options', 60],
  ] as const) {
    test(`xdp v6: ${what} → left to tc`, () => {
      const [, ipv6] = rows;
      using plane = openPlane(ipv6);
      for (const protocol of ['tcp', 'udp'] as const) {
        const frame = buildPacket(requestOf(ipv6, protocol));
        const extension = Uint8Array.of(frame[20] ?? 0, 0, 1, 4, 0, 0, 0, 0);
        const extended = Buffer.from(join(frame.subarray(0, 54), extension, frame.subarray(54)));
        extended.writeUInt16BE(extended.length - 54, 18);
        extended[20] = header;
        assertLeft(plane, extended);
      }
    });
  }
});
