// SPDX-License-Identifier: Apache-2.0
// Whole packets through the hooks: what goes in, what must come out, byte for byte.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  assertPacket,
  buildPacket,
  checksum,
  macClient,
  macNode,
  type PacketDescription,
  printPacket,
} from '../lib/packet.ts';
import { missingForBpf, TestPlane, type WayIn } from '../lib/plane.ts';

interface Row {
  readonly family: 'v4' | 'v6';
  readonly client: string;
  readonly virtual: string;
  readonly destination: string;
  readonly format: (address: string, port: number) => string;
}

const rows: readonly Row[] = [
  {
    family: 'v4',
    client: '10.244.1.10',
    virtual: '10.96.0.10',
    destination: '10.244.2.20',
    format: (a, p) => `${a}:${p}`,
  },
  {
    family: 'v6',
    client: 'fd00:10:244:1::10',
    virtual: 'fd00:10:96::10',
    destination: 'fd00:10:244:2::20',
    format: (a, p) => `[${a}]:${p}`,
  },
];

const payload = new TextEncoder().encode('the quick brown fox');

const query: PacketDescription = {
  source: '10.244.1.10',
  sourcePort: 40000,
  destination: '10.96.0.10',
  destinationPort: 53,
  protocol: 'udp',
  payload,
};

for (const wayIn of ['tc', 'xdp and tc'] satisfies WayIn[]) {
  suite(`packets of a virtual service, ${wayIn}`, { skip: missingForBpf() ?? false }, () => {
    for (const { family, client, virtual, destination, format } of rows) {
      for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
        const request: PacketDescription = {
          source: client,
          sourcePort: 40000,
          destination: virtual,
          destinationPort: 80,
          protocol,
          flags: protocol === 'sctp' ? 'INIT' : 'S',
          payload,
        };
        const reply: PacketDescription = {
          source: destination,
          sourcePort: 8080,
          destination: client,
          destinationPort: 40000,
          protocol,
          flags: protocol === 'sctp' ? 'INIT-ACK' : 'SA',
          payload,
        };

        test(`${wayIn} ${family} ${protocol} masq: first request at ingress → translated to the destination`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          const outcome = plane.ingress(buildPacket(request));
          assert.equal(outcome.verdict, 'pass');
          assertPacket(outcome.packet, { ...request, destination, destinationPort: 8080 });
        });

        test(`${wayIn} ${family} ${protocol} masq: reply at egress → comes from the virtual address`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          plane.ingress(buildPacket(request));
          const outcome = plane.egress(buildPacket(reply));
          assert.equal(outcome.verdict, 'pass');
          assertPacket(outcome.packet, { ...reply, source: virtual, sourcePort: 80 });
        });

        test(`${wayIn} ${family} ${protocol} masq: reply at ingress, request at egress → both untouched`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          const translated = plane.ingress(buildPacket(request)).packet;
          assertPacket(plane.egress(translated).packet, { ...request, destination, destinationPort: 8080 });
          assertPacket(plane.ingress(buildPacket(reply)).packet, reply);
        });

        test(`${wayIn} ${family} ${protocol} masq: a pod chosen as its own destination → turned round with the virtual address as client`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(client, 8080)]);
          const there = plane.ingress(buildPacket(request));
          assert.equal(there.verdict, 'redirect');
          const turned = { sourceMac: macNode, destinationMac: macClient };
          assertPacket(there.packet, {
            ...request,
            source: virtual,
            destination: client,
            destinationPort: 8080,
            ...turned,
          });
          const back: PacketDescription = { ...reply, source: client, destination: virtual };
          const answer = plane.ingress(buildPacket(back));
          assert.equal(answer.verdict, 'redirect');
          assertPacket(answer.packet, {
            ...back,
            source: virtual,
            sourcePort: 80,
            destination: client,
            ...turned,
          });
        });

        test(`${wayIn} ${family} ${protocol} masq: two virtual addresses, one client port, one destination → different source ports`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          plane.serve(protocol, format(virtual, 443), [format(destination, 8080)]);
          plane.ingress(buildPacket(request));
          const second = plane.ingress(buildPacket({ ...request, destinationPort: 443 })).packet;
          const port = new DataView(second.buffer).getUint16(family === 'v4' ? 34 : 54);
          assert.notEqual(port, 40000);
          assertPacket(second, { ...request, sourcePort: port, destination, destinationPort: 8080 });
          const answer = plane.egress(buildPacket({ ...reply, destinationPort: port }));
          assertPacket(answer.packet, { ...reply, source: virtual, sourcePort: 443 });
        });

        test(`${wayIn} ${family} ${protocol}: a service without destinations → rejected with ICMP port unreachable`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), []);
          const outcome = plane.ingress(buildPacket(request));
          assert.equal(outcome.verdict, 'redirect');
          const kind = family === 'v4' ? 'protocol 1' : 'protocol 58';
          const code = family === 'v4' ? 'type 3 code 3' : 'type 1 code 4';
          assert.equal(printPacket(outcome.packet), `${kind} ${virtual} > ${client} ${code}`);
          assert.deepEqual(
            [...outcome.packet.subarray(0, 12)],
            [...macBytes(macClient), ...macBytes(macNode)],
          );
          assertIcmpChecksum(outcome.packet, family);
          assert.equal(plane.reason('rejected_no_destination'), 1n);
        });

        test(`${wayIn} ${family} ${protocol}: a service without destinations that drops → dropped and counted`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [], { noDestination: 'drop' });
          assert.equal(plane.ingress(buildPacket(request)).verdict, 'drop');
          assert.equal(plane.reason('dropped_no_destination'), 1n);
        });

        test(`${wayIn} ${family} ${protocol}: a packet to another port of a virtual address → rejected with ICMP port unreachable`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          const outcome = plane.ingress(buildPacket({ ...request, destinationPort: 81 }));
          assert.equal(outcome.verdict, 'redirect');
          const kind = family === 'v4' ? 'protocol 1' : 'protocol 58';
          const code = family === 'v4' ? 'type 3 code 3' : 'type 1 code 4';
          assert.equal(printPacket(outcome.packet), `${kind} ${virtual} > ${client} ${code}`);
          assertIcmpChecksum(outcome.packet, family);
          assert.equal(plane.reason('rejected_no_service'), 1n);
        });

        test(`${wayIn} ${family} ${protocol}: source port 20 → never scheduled, untouched`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          const ftp = { ...request, sourcePort: 20 };
          assertPacket(plane.ingress(buildPacket(ftp)).packet, ftp);
          assert.equal(plane.reason('passed_ftp_data'), 1n);
        });

        test(`${wayIn} ${family} ${protocol} masq: the checksum of a whole packet that the device summed (CHECKSUM_COMPLETE) → stays right`, () => {
          using plane = TestPlane.reuse({ wayIn });
          plane.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
          const checksumComplete = 1 << 2; // BPF_F_TEST_SKB_CHECKSUM_COMPLETE: the kernel checks skb->csum after the run
          const outcome = plane.ingress(buildPacket(request), checksumComplete);
          assertPacket(outcome.packet, { ...request, destination, destinationPort: 8080 });
        });
      }

      test(`${wayIn} ${family} tcp: in mid-stream without a connection → untouched`, () => {
        using plane = TestPlane.reuse({ wayIn });
        plane.serve('tcp', format(virtual, 80), [format(destination, 8080)]);
        for (const flags of ['A', 'PA', 'FA', 'R', 'RA', 'SR', '']) {
          const packet: PacketDescription = {
            source: client,
            sourcePort: 40000,
            destination: virtual,
            destinationPort: 80,
            protocol: 'tcp',
            flags,
          };
          const outcome = plane.ingress(buildPacket(packet));
          assert.equal(outcome.verdict, 'pass');
          assertPacket(outcome.packet, packet);
        }
      });

      test(`${wayIn} ${family} udp masq: a datagram without checksum → has none afterwards`, () => {
        using plane = TestPlane.reuse({ wayIn });
        plane.serve('udp', format(virtual, 53), [format(destination, 5353)]);
        const request: PacketDescription = {
          source: client,
          sourcePort: 40000,
          destination: virtual,
          destinationPort: 53,
          protocol: 'udp',
          payload,
          hasNoChecksum: true,
        };
        assertPacket(plane.ingress(buildPacket(request)).packet, {
          ...request,
          destination,
          destinationPort: 5353,
        });
      });
    }

    test(`${wayIn} v4 udp masq: IP options → stay, and the ports behind them are rewritten`, () => {
      using plane = TestPlane.reuse({ wayIn });
      plane.serve('udp', '10.96.0.10:53', ['10.244.2.20:5353']);
      const request = { ...query, options: Uint8Array.of(148, 4, 0, 0, 1, 1, 1, 0) };
      assertPacket(plane.ingress(buildPacket(request)).packet, {
        ...request,
        destination: '10.244.2.20',
        destinationPort: 5353,
      });
    });

    for (const source of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '10.96.0.10']) {
      test(`${wayIn} v4 udp: from ${source}, where nobody can be answered → untouched and counted`, () => {
        using plane = TestPlane.reuse({ wayIn });
        plane.serve('udp', '10.96.0.10:53', ['10.244.2.20:5353']);
        plane.serve('udp', '10.96.0.10:54', []);
        for (const destinationPort of [53, 54]) {
          const request: PacketDescription = {
            source,
            sourcePort: 40000,
            destination: '10.96.0.10',
            destinationPort,
            protocol: 'udp',
            payload,
          };
          const outcome = plane.ingress(buildPacket(request));
          assert.equal(outcome.verdict, 'pass');
          assertPacket(outcome.packet, request);
        }
        assert.equal(plane.reason('passed_martian'), 2n);
      });
    }

    for (const destinationMac of ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '02:00:00:00:00:99']) {
      test(`${wayIn} v4 udp: in a frame for ${destinationMac}, not this host → untouched`, () => {
        using plane = TestPlane.reuse({ wayIn });
        plane.serve('udp', '10.96.0.10:53', ['10.244.2.20:5353']);
        const request: PacketDescription = {
          source: '10.244.1.10',
          sourcePort: 40000,
          destination: '10.96.0.10',
          destinationPort: 53,
          protocol: 'udp',
          payload,
          destinationMac,
        };
        const outcome = plane.ingress(buildPacket(request));
        assert.equal(outcome.verdict, 'pass');
        assertPacket(outcome.packet, request);
      });
    }
  });
}

function macBytes(text: string): number[] {
  return text.split(':').map((part) => Number.parseInt(part, 16));
}

function assertIcmpChecksum(frame: Uint8Array, family: 'v4' | 'v6'): void {
  const icmp = frame.subarray(family === 'v4' ? 34 : 54);
  if (family === 'v4') {
    assert.equal(checksum(frame.subarray(14, 34)), 0, 'IP header checksum');
    assert.equal(checksum(icmp), 0, 'ICMP checksum');
    return;
  }
  const pseudo = new Uint8Array(40);
  pseudo.set(frame.subarray(22, 54), 0);
  new DataView(pseudo.buffer).setUint32(32, icmp.length);
  pseudo[39] = 58;
  assert.equal(checksum(pseudo, icmp), 0, 'ICMPv6 checksum');
}
