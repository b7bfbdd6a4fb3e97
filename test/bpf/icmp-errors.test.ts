// SPDX-License-Identifier: Apache-2.0
// ICMP errors about packets of a connection: whoever gets one finds in it the packet as it was sent, byte for byte.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import { podFour, podOne, type ServiceAddress, serviceDns, serviceWeb } from '../lib/cast.ts';
import {
  assertPacket,
  buildPacket,
  join,
  macClient,
  macNode,
  type PacketDescription,
} from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';

/** BPF_F_TEST_SKB_CHECKSUM_COMPLETE: as from a device that sums; the kernel checks skb->csum after the run. */
const checksumComplete = 1 << 2;
const router = { v4: '203.0.113.9', v6: 'fd00:203:0:113::9' };
const protocols = ['tcp', 'udp', 'sctp'] as const;

type Protocol = (typeof protocols)[number];

interface Kind {
  readonly name: string;
  readonly type: number;
  readonly code: number;
  readonly rest?: number;
}

const kinds: Readonly<Record<'v4' | 'v6', readonly Kind[]>> = {
  v4: [
    { name: 'fragmentation needed', type: 3, code: 4, rest: 1280 },
    { name: 'port unreachable', type: 3, code: 3 },
    { name: 'host unreachable', type: 3, code: 1 },
    { name: 'administratively prohibited', type: 3, code: 13 },
    { name: 'time exceeded', type: 11, code: 0 },
    { name: 'parameter problem', type: 12, code: 0, rest: 0x0800_0000 },
  ],
  v6: [
    { name: 'packet too big', type: 2, code: 0, rest: 1280 },
    { name: 'port unreachable', type: 1, code: 4 },
    { name: 'address unreachable', type: 1, code: 3 },
    { name: 'administratively prohibited', type: 1, code: 1 },
    { name: 'time exceeded', type: 3, code: 0 },
    { name: 'parameter problem', type: 4, code: 1, rest: 6 },
  ],
};

/** How much of a packet an error quotes: all of it, or its header with the 8 bytes that RFC 792 asks for. */
const lengths = { 'the whole packet': undefined, '8 bytes of transport': 8 };

/** The bytes of a packet from its IP header on. */
function quote(packet: PacketDescription, transportLength?: number): Uint8Array {
  const bytes = buildPacket(packet).subarray(14);
  const header = packet.source.includes(':') ? 40 : 20 + (packet.options?.length ?? 0);
  return bytes.subarray(0, transportLength === undefined ? bytes.length : header + transportLength);
}

/** A quoted packet as it was before its translation. The CRC of a quoted SCTP packet stays that of the translated one. */
function untranslated(
  before: PacketDescription,
  after: PacketDescription,
  transportLength?: number,
): Uint8Array {
  const bytes = Uint8Array.from(quote(before, transportLength));
  if (before.protocol !== 'sctp') return bytes;
  const crc = before.source.includes(':') ? 48 : 28;
  bytes.set(quote(after, transportLength).subarray(crc, crc + 4), crc);
  return bytes;
}

/** A client's talk with a service, as it is on both sides of the translation. */
function talk(family: 'v4' | 'v6', protocol: Protocol, destination = podFour[family]) {
  const request: PacketDescription = {
    source: podOne[family],
    sourcePort: 40000,
    destination: serviceWeb[family],
    destinationPort: serviceWeb.port,
    protocol,
    flags: protocol === 'sctp' ? 'INIT' : 'S',
    payload: new TextEncoder().encode('the quick brown fox'),
  };
  const reply: PacketDescription = {
    ...request,
    source: destination,
    sourcePort: 8080,
    destination: request.source,
    destinationPort: 40000,
    flags: protocol === 'sctp' ? 'INIT-ACK' : 'SA',
  };
  return {
    request,
    translatedRequest: { ...request, destination, destinationPort: 8080 },
    reply,
    translatedReply: { ...reply, source: request.destination, sourcePort: serviceWeb.port },
  };
}

function serve(
  plane: TestPlane,
  family: 'v4' | 'v6',
  destination = podFour[family],
  at: ServiceAddress = serviceWeb,
) {
  for (const protocol of protocols) {
    plane.serve(protocol, formatAddressPort(at[family], at.port), [formatAddressPort(destination, 8080)]);
  }
}

function error(
  about: Uint8Array,
  kind: Pick<Kind, 'type' | 'code' | 'rest'>,
  source: string,
  destination: string,
): PacketDescription {
  return { source, destination, protocol: 'icmp', icmp: kind, payload: about };
}

suite('ICMP errors about a connection', { skip: missingForBpf() ?? false }, () => {
  for (const family of ['v4', 'v6'] as const) {
    for (const protocol of protocols) {
      suite(`${family} ${protocol}`, () => {
        const { request, translatedRequest, reply, translatedReply } = talk(family, protocol);
        const client = request.source;
        const virtual = request.destination;
        const destination = reply.source;
        let plane: TestPlane;
        before(() => {
          plane = TestPlane.reuse();
          serve(plane, family);
          plane.ingress(buildPacket(request));
          plane.egress(buildPacket(reply));
        });
        after(() => plane[Symbol.dispose]());

        for (const kind of kinds[family]) {
          for (const [length, bytes] of Object.entries(lengths)) {
            const title = `${family} ${protocol} masq: ${kind.name} that quotes ${length}`;

            for (const [who, sender] of [
              ['the destination', destination],
              ['a router', router[family]],
            ] as const) {
              test(`${title} of a request, from ${who} → from the virtual address, about the client's packet`, () => {
                const sent = buildPacket(error(quote(translatedRequest, bytes), kind, sender, client));
                for (const flags of [0, checksumComplete]) {
                  const outcome = plane.egress(sent, flags);
                  assert.equal(outcome.verdict, 'pass');
                  assertPacket(
                    outcome.packet,
                    error(untranslated(request, translatedRequest, bytes), kind, virtual, client),
                  );
                }
              });
            }

            for (const [who, sender] of [
              ['the client', client],
              ['a router', router[family]],
            ] as const) {
              test(`${title} of a reply, from ${who} → to the destination, about its own packet`, () => {
                const sent = buildPacket(error(quote(translatedReply, bytes), kind, sender, virtual));
                for (const flags of [0, checksumComplete]) {
                  const outcome = plane.ingress(sent, flags);
                  assert.equal(outcome.verdict, 'pass');
                  assertPacket(
                    outcome.packet,
                    error(untranslated(reply, translatedReply, bytes), kind, sender, destination),
                  );
                }
              });
            }
          }
        }

        test(`${family} ${protocol} masq: an error at the hook where such packets do not pass → untouched`, () => {
          const [kind] = kinds[family];
          assert.ok(kind);
          const aboutRequest = error(quote(translatedRequest), kind, destination, client);
          assertPacket(plane.ingress(buildPacket(aboutRequest)).packet, aboutRequest);
          const aboutReply = error(quote(translatedReply), kind, client, virtual);
          assertPacket(plane.egress(buildPacket(aboutReply)).packet, aboutReply);
        });

        test(`${family} ${protocol} masq: an error counts as a packet and changes neither state nor timer`, () => {
          const [kind] = kinds[family];
          assert.ok(kind);
          const look = () => {
            const [connection] = [...plane.plane.connections()];
            const [service] = plane.plane.services().filter((each) => each.protocol === protocol);
            assert.ok(connection && service);
            return { connection, statistics: service.statistics };
          };
          plane.advance(20);
          const earlier = look();
          const packet = error(quote(translatedRequest), kind, router[family], client);
          plane.egress(buildPacket(packet));
          const later = look();
          assert.deepEqual(later.connection, earlier.connection);
          assert.equal(later.statistics.outPackets, earlier.statistics.outPackets + 1n);
          const bytes = BigInt(buildPacket(packet).length - 14);
          assert.equal(later.statistics.outBytes, earlier.statistics.outBytes + bytes);
        });
      });

      test(`${family} ${protocol} masq: errors about a pod that is its own destination → turned round, translated`, () => {
        using plane = TestPlane.reuse();
        const self = podOne[family];
        const { request } = talk(family, protocol, self);
        const virtual = request.destination;
        serve(plane, family, self);
        const there = { ...request, source: virtual, destination: self, destinationPort: 8080 };
        const back = {
          ...there,
          source: self,
          sourcePort: 8080,
          destination: virtual,
          destinationPort: 40000,
        };
        const arrived = { ...back, source: virtual, sourcePort: 80, destination: self };
        plane.ingress(buildPacket(request));
        const kind = kinds[family][1];
        assert.ok(kind);
        const turned = { sourceMac: macNode, destinationMac: macClient };
        for (const [quoted, original] of [
          [there, request],
          [arrived, back],
        ] as const) {
          const outcome = plane.ingress(buildPacket(error(quote(quoted), kind, self, virtual)));
          assert.equal(outcome.verdict, 'redirect');
          assertPacket(outcome.packet, {
            ...error(untranslated(original, quoted), kind, virtual, self),
            ...turned,
          });
        }
      });

      test(`${family} ${protocol} masq: an error about a connection with another source port → has the client's own`, () => {
        using plane = TestPlane.reuse();
        const { request } = talk(family, protocol);
        const other = { ...request, destination: serviceDns[family], destinationPort: serviceDns.port };
        serve(plane, family);
        serve(plane, family, podFour[family], serviceDns);
        plane.ingress(buildPacket(request));
        const translated = plane.ingress(buildPacket(other)).packet;
        const kind = kinds[family][0];
        assert.ok(kind);
        const sent = error(translated.subarray(14), kind, podFour[family], podOne[family]);
        const outcome = plane.egress(buildPacket(sent));
        const sourcePort = new DataView(translated.buffer).getUint16(family === 'v4' ? 34 : 54);
        assert.notEqual(sourcePort, other.sourcePort);
        const after = { ...other, sourcePort, destination: podFour[family], destinationPort: 8080 };
        const original = untranslated(other, after);
        assertPacket(outcome.packet, error(original, kind, serviceDns[family], podOne[family]));
      });

      test(`${family} ${protocol}: an error about nobody's packet → untouched`, () => {
        using plane = TestPlane.reuse();
        serve(plane, family);
        const { request, translatedRequest, translatedReply } = talk(family, protocol);
        for (const kind of kinds[family]) {
          const up = error(quote(translatedReply), kind, request.source, request.destination);
          assertPacket(plane.ingress(buildPacket(up)).packet, up);
          const down = error(quote(translatedRequest), kind, router[family], request.source);
          assertPacket(plane.egress(buildPacket(down)).packet, down);
        }
      });

      test(`${family} ${protocol} masq: an error whose quote ends before the ports → untouched`, () => {
        using plane = TestPlane.reuse();
        serve(plane, family);
        const { request, translatedRequest } = talk(family, protocol);
        plane.ingress(buildPacket(request));
        const kind = kinds[family][0];
        assert.ok(kind);
        for (const bytes of [0, 3]) {
          const sent = error(quote(translatedRequest, bytes), kind, podFour[family], request.source);
          assertPacket(plane.egress(buildPacket(sent)).packet, sent);
        }
      });
    }

    test(`${family} udp masq: an error about a datagram without checksum → it has none afterwards`, () => {
      using plane = TestPlane.reuse();
      serve(plane, family);
      const { request, translatedRequest } = talk(family, 'udp');
      plane.ingress(buildPacket(request));
      const kind = kinds[family][0];
      assert.ok(kind);
      const bare = { hasNoChecksum: true };
      const sent = error(quote({ ...translatedRequest, ...bare }), kind, podFour[family], request.source);
      const wanted = error(quote({ ...request, ...bare }), kind, request.destination, request.source);
      assertPacket(plane.egress(buildPacket(sent)).packet, wanted);
    });

    test(`${family} tcp masq: a redirect about a request → untouched, as the client's way is another`, () => {
      using plane = TestPlane.reuse();
      serve(plane, family);
      const { request, translatedRequest } = talk(family, 'tcp');
      plane.ingress(buildPacket(request));
      const redirect = family === 'v4' ? { type: 5, code: 1 } : { type: 137, code: 0 };
      const sent = error(quote(translatedRequest), redirect, router[family], request.source);
      assertPacket(plane.egress(buildPacket(sent)).packet, sent);
    });
  }

  test('v4 udp masq: an error with IP options about a packet with IP options → translated behind them', () => {
    using plane = TestPlane.reuse();
    serve(plane, 'v4');
    const { request, translatedRequest } = talk('v4', 'udp');
    plane.ingress(buildPacket(request));
    const kind = kinds.v4[0];
    assert.ok(kind);
    const options = Uint8Array.of(148, 4, 0, 0, 1, 1, 1, 0);
    const sent = error(quote({ ...translatedRequest, options }), kind, router.v4, request.source);
    const wanted = error(quote({ ...request, options }), kind, request.destination, request.source);
    assertPacket(plane.egress(buildPacket({ ...sent, options })).packet, { ...wanted, options });
  });

  for (const [name, fragment, isTranslated] of [
    ['the first fragment', 0x2000, true],
    ['a later fragment', 0x2004, false],
  ] as const) {
    test(`v4 udp masq: an error about ${name} of a datagram → ${isTranslated ? 'translated' : 'untouched: it has no ports'}`, () => {
      using plane = TestPlane.reuse();
      serve(plane, 'v4');
      const { request, translatedRequest } = talk('v4', 'udp');
      plane.ingress(buildPacket(request));
      const kind = kinds.v4[0];
      assert.ok(kind);
      const sent = error(quote({ ...translatedRequest, fragment }), kind, router.v4, request.source);
      const wanted = error(quote({ ...request, fragment }), kind, request.destination, request.source);
      assertPacket(plane.egress(buildPacket(sent)).packet, isTranslated ? wanted : sent);
    });

    test(`v6 udp masq: an error about ${name} of a datagram → ${isTranslated ? 'translated' : 'untouched: it has no ports'}`, () => {
      using plane = TestPlane.reuse();
      serve(plane, 'v6');
      const { request, translatedRequest } = talk('v6', 'udp');
      plane.ingress(buildPacket(request));
      const kind = kinds.v6[0];
      assert.ok(kind);
      const header = Uint8Array.of(17, 0, 0, isTranslated ? 1 : 9, 0, 0, 0, 1);
      const sent = error(
        withExtension(quote(translatedRequest), 44, header),
        kind,
        router.v6,
        request.source,
      );
      const original = withExtension(quote(request), 44, header);
      const wanted = error(original, kind, request.destination, request.source);
      assertPacket(plane.egress(buildPacket(sent)).packet, isTranslated ? wanted : sent);
    });
  }

  test('v6 tcp masq: an error about a packet with extension headers → translated behind them', () => {
    using plane = TestPlane.reuse();
    serve(plane, 'v6');
    const { request, translatedRequest } = talk('v6', 'tcp');
    plane.ingress(buildPacket(request));
    const kind = kinds.v6[0];
    assert.ok(kind);
    const options = Uint8Array.of(6, 0, 1, 4, 0, 0, 0, 0); // destination options: a PadN
    const sent = error(withExtension(quote(translatedRequest), 60, options), kind, router.v6, request.source);
    const original = withExtension(quote(request), 60, options);
    assertPacket(
      plane.egress(buildPacket(sent)).packet,
      error(original, kind, request.destination, request.source),
    );
  });
});

/** An IPv6 packet with one more header behind its first one; the length stays as it was, as nobody reads it in a quote. */
function withExtension(packet: Uint8Array, number: number, header: Uint8Array): Uint8Array {
  const changed = join(packet.subarray(0, 40), header, packet.subarray(40));
  changed[6] = number;
  return changed;
}
