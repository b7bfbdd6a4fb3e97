// SPDX-License-Identifier: Apache-2.0
// Packets that are seldom but right, or wrong in ways that kernel IPVS has an answer to.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import { podFour, podOne, serviceWeb } from '../lib/cast.ts';
import { type Extension, extension, fragmentsOf, withExtensions } from '../lib/fragments.ts';
import { buildPacket, join, macClient, macNode, type PacketDescription } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';

const payload = Uint8Array.from({ length: 300 }, (_, i) => i & 0xff);

/** A header of `size` bytes whose bytes 2 and 3 are given: an option that only pads, or a routing header. */
function header(number: number, size: number, third: number, fourth: number): Extension {
  const bytes = new Uint8Array(size);
  bytes.set([0, size / 8 - 1, third, fourth]);
  return { number, bytes };
}

const padded = (number: number, size: number) => header(number, size, 1, size - 4);
const visited = header(extension.routing, 24, 4, 0);
const whole: Extension = { number: extension.fragment, bytes: new Uint8Array(8) };

function served(protocol: 'tcp' | 'udp', family: 'v4' | 'v6'): TestPlane {
  const plane = TestPlane.reuse();
  const at = formatAddressPort(serviceWeb[family], serviceWeb.port);
  plane.serve(protocol, at, [formatAddressPort(podFour[family], 8080)]);
  return plane;
}

function ends(
  family: 'v4' | 'v6',
): Pick<PacketDescription, 'source' | 'sourcePort' | 'destination' | 'destinationPort'> {
  return {
    source: podOne[family],
    sourcePort: 40000,
    destination: serviceWeb[family],
    destinationPort: serviceWeb.port,
  };
}

const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex');

suite('unusual packets', { skip: missingForBpf() ?? false }, () => {
  const rows: Readonly<Record<string, readonly Extension[]>> = {
    'hop-by-hop options': [padded(extension.hopByHop, 8)],
    'destination options': [padded(extension.destination, 256)],
    'a routing header that is done': [visited],
    'a fragment header around the whole (RFC 6946)': [whole],
    'all that RFC 8200 lists': [
      padded(extension.hopByHop, 8),
      padded(extension.destination, 16),
      visited,
      whole,
      padded(extension.destination, 8),
    ],
  };
  for (const [title, extensions] of Object.entries(rows)) {
    for (const protocol of ['tcp', 'udp'] as const) {
      test(`v6 ${protocol} masq: ${title} → stay, request and reply are translated`, () => {
        using plane = served(protocol, 'v6');
        const request: PacketDescription = { ...ends('v6'), protocol, flags: 'S', payload };
        const there = plane.ingress(withExtensions(buildPacket(request), ...extensions));
        const sent = { ...request, destination: podFour.v6, destinationPort: 8080 };
        assert.equal(hex(there.packet), hex(withExtensions(buildPacket(sent), ...extensions)));
        const reply: PacketDescription = {
          source: podFour.v6,
          sourcePort: 8080,
          destination: podOne.v6,
          destinationPort: 40000,
          protocol,
          flags: 'SA',
          payload,
        };
        const back = plane.egress(withExtensions(buildPacket(reply), ...extensions));
        const seen = { ...reply, source: serviceWeb.v6, sourcePort: serviceWeb.port };
        assert.equal(hex(back.packet), hex(withExtensions(buildPacket(seen), ...extensions)));
      });
    }
  }

  const passed: Readonly<Record<string, readonly Extension[]>> = {
    'a routing header that names another hop': [header(extension.routing, 24, 4, 1)],
    'an authentication header': [header(extension.ah, 24, 0, 0)],
    ESP: [header(extension.esp, 16, 1, 2)],
    'an unknown header': [header(253, 8, 0, 0)],
    'more headers than anyone sends': Array.from({ length: 6 }, () => padded(extension.destination, 8)),
    'a header longer than the packet': [header(extension.destination, 8, 1, 4)].map(({ number, bytes }) => ({
      number,
      bytes: bytes.with(1, 255),
    })),
  };
  for (const [title, extensions] of Object.entries(passed)) {
    test(`v6 udp: ${title} → untouched`, () => {
      using plane = served('udp', 'v6');
      const request = withExtensions(buildPacket({ ...ends('v6'), protocol: 'udp', payload }), ...extensions);
      const outcome = plane.ingress(request);
      assert.equal(outcome.verdict, 'pass');
      assert.equal(hex(outcome.packet), hex(request));
    });
  }

  test('v6 udp: extension headers to a service without destinations → rejected', () => {
    using plane = TestPlane.reuse();
    plane.serve('udp', formatAddressPort(serviceWeb.v6, serviceWeb.port), []);
    const request = buildPacket({ ...ends('v6'), protocol: 'udp', payload });
    assert.equal(plane.ingress(withExtensions(request, padded(extension.hopByHop, 8))).verdict, 'redirect');
    assert.equal(plane.reason('rejected_no_destination'), 1n);
  });

  test('v6 icmp: an echo request in fragments → each is that fragment of the reply', () => {
    using plane = served('tcp', 'v6');
    const request: PacketDescription = {
      source: podOne.v6,
      destination: serviceWeb.v6,
      protocol: 'icmp',
      icmp: { type: 128, code: 0, rest: 0x1234_0001 },
      payload,
    };
    const reply: PacketDescription = {
      ...request,
      source: serviceWeb.v6,
      destination: podOne.v6,
      icmp: { type: 129, code: 0, rest: 0x1234_0001 },
      sourceMac: macNode,
      destinationMac: macClient,
    };
    const outcomes = fragmentsOf(buildPacket(request), [120, 80]).map((each) => plane.ingress(each));
    assert.deepEqual(
      outcomes.map(({ packet }) => hex(packet)),
      fragmentsOf(buildPacket(reply), [120, 80]).map(hex),
    );
  });

  for (const family of ['v4', 'v6'] as const) {
    /* net/netfilter/ipvs/ip_vs_proto_tcp.c: tcp_state_idx knows RST before SYN before FIN before ACK. */
    for (const [flags, opens] of [
      ['SF', true],
      ['SFPUA', true],
      ['SU', true],
      ['SFRPAU', false],
      ['SR', false],
      ['FPU', false],
      ['U', false],
      ['', false],
    ] as const) {
      test(`${family} tcp: a first segment with flags "${flags}" → ${opens ? 'opens a connection' : 'untouched'}`, () => {
        using plane = served('tcp', family);
        const request: PacketDescription = { ...ends(family), protocol: 'tcp', flags, payload };
        const wanted = opens ? { ...request, destination: podFour[family], destinationPort: 8080 } : request;
        assert.equal(hex(plane.ingress(buildPacket(request)).packet), hex(buildPacket(wanted)));
        assert.equal([...plane.plane.view.connections()].length, opens ? 1 : 0);
      });

      test(`${family} tcp: a later segment with flags "${flags}" → translated`, () => {
        using plane = served('tcp', family);
        plane.ingress(buildPacket({ ...ends(family), protocol: 'tcp', flags: 'S' }));
        const segment: PacketDescription = { ...ends(family), protocol: 'tcp', flags, payload };
        const wanted = { ...segment, destination: podFour[family], destinationPort: 8080 };
        assert.equal(hex(plane.ingress(buildPacket(segment)).packet), hex(buildPacket(wanted)));
      });
    }

    for (const [name, tag] of [
      ['802.1Q', [0x81, 0x00, 0x00, 0x64]],
      ['802.1ad', [0x88, 0xa8, 0x00, 0x64]],
    ] as const) {
      test(`${family} udp: in a frame with an ${name} tag that the device left in it → untouched`, () => {
        using plane = served('udp', family);
        const frame = buildPacket({ ...ends(family), protocol: 'udp', payload });
        const tagged = join(frame.subarray(0, 12), Uint8Array.from(tag), frame.subarray(12));
        assert.equal(hex(plane.ingress(tagged).packet), hex(tagged));
      });
    }

    test(`${family} udp: in an LLC frame (802.3 with a length) → untouched`, () => {
      using plane = served('udp', family);
      const frame = buildPacket({ ...ends(family), protocol: 'udp', payload });
      const length = 6 + frame.length - 12;
      const snap = Uint8Array.of(length >> 8, length & 0xff, 0xaa, 0xaa, 3, 0, 0, 0);
      const llc = join(frame.subarray(0, 12), snap, frame.subarray(12));
      assert.equal(hex(plane.ingress(llc).packet), hex(llc));
    });
  }
});
