// SPDX-License-Identifier: Apache-2.0
// What is expected of the host of a virtual address: an answer to ping, an end of a traceroute.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import { podFive, podFour, podOne, serviceDns, serviceWeb } from '../lib/cast.ts';
import {
  assertPacket,
  buildPacket,
  join,
  macClient,
  macNode,
  type PacketDescription,
  printPacket,
} from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';

const checksumComplete = 1 << 2; // BPF_F_TEST_SKB_CHECKSUM_COMPLETE: the kernel checks skb->csum after the run

/** struct __sk_buff of include/uapi/linux/bpf.h: its size, and where its field ingress_ifindex is. */
const contextSize = 192;
const ingressIfindexOffset = 36;
const redirect = 7; // TC_ACT_REDIRECT

suite('being the host of a virtual address', { skip: missingForBpf() ?? false }, () => {
  for (const family of ['v4', 'v6'] as const) {
    const [requestType, replyType] = family === 'v4' ? [8, 0] : [128, 129];
    const at = formatAddressPort(serviceWeb[family], serviceWeb.port);
    const request: PacketDescription = {
      source: podOne[family],
      destination: serviceWeb[family],
      protocol: 'icmp',
      icmp: { type: requestType, code: 0, rest: 0x1234_0001 },
      payload: new TextEncoder().encode('the quick brown fox'),
    };
    const reply: PacketDescription = {
      ...request,
      source: serviceWeb[family],
      destination: podOne[family],
      icmp: { type: replyType, code: 0, rest: 0x1234_0001 },
      sourceMac: macNode,
      destinationMac: macClient,
    };

    function assertAnswered(plane: TestPlane, packet = request): void {
      const outcome = plane.ingress(buildPacket(packet));
      assert.equal(outcome.verdict, 'redirect');
      assertPacket(outcome.packet, reply);
    }

    function assertPassed(plane: TestPlane, packet = request): void {
      const outcome = plane.ingress(buildPacket(packet));
      assert.equal(outcome.verdict, 'pass');
      assertPacket(outcome.packet, packet);
    }

    test(`${family} icmp: an echo request to a virtual address → answered and counted`, () => {
      using plane = TestPlane.reuse();
      plane.serve('tcp', at, [formatAddressPort(podFour[family], 8080)]);
      for (const flags of [0, checksumComplete]) {
        const outcome = plane.ingress(buildPacket(request), flags);
        assert.equal(outcome.verdict, 'redirect');
        assertPacket(outcome.packet, reply);
      }
      assert.equal(plane.reason('answered_echo'), 2n);
    });

    test(`${family} icmp: an echo request with another hop limit → the reply has that of a host`, () => {
      using plane = TestPlane.reuse();
      plane.serve('udp', at, []);
      for (const hopLimit of [1, 2, 63, 255]) {
        for (const flags of [0, checksumComplete]) {
          const outcome = plane.ingress(buildPacket({ ...request, hopLimit }), flags);
          assertPacket(outcome.packet, reply);
        }
      }
    });

    test(`${family} icmp: an echo request whose checksum is wrong → its reply's is wrong, too`, () => {
      using plane = TestPlane.reuse();
      plane.serve('udp', at, []);
      const packet = buildPacket(request);
      const last = packet.length - 1;
      packet[last] = (packet[last] ?? 0) ^ 0x10;
      const wanted = buildPacket(reply);
      wanted[last] = (wanted[last] ?? 0) ^ 0x10;
      assert.deepEqual([...plane.ingress(packet).packet], [...wanted]);
    });

    test(`${family} icmp: an echo request to the last of an address's services → answered until that is gone`, () => {
      using plane = TestPlane.reuse();
      const tcp = plane.serve('tcp', at, []);
      const udp = plane.serve('udp', at, [formatAddressPort(podFour[family], 8080)]);
      plane.apply({ do: 'delete-service', service: tcp });
      assertAnswered(plane);
      plane.apply({ do: 'delete-service', service: udp });
      assertPassed(plane);
    });

    test(`${family} icmp: an echo request to an address that is the node's own → left to the stack, which answers`, () => {
      using plane = TestPlane.reuse();
      plane.serve('tcp', at, []);
      plane.plane.setOwnAddresses([serviceWeb[family], podFive[family]]);
      assertPassed(plane);
      plane.plane.setOwnAddresses([podFive[family]]);
      assertAnswered(plane);
    });

    for (const [what, change] of [
      ['to an address without services', { destination: serviceDns[family] }],
      ['in a frame for another host', { destinationMac: '02:00:00:00:00:99' }],
      ['to everyone on the link', { destinationMac: 'ff:ff:ff:ff:ff:ff' }],
      ['from its own target', { source: serviceWeb[family] }],
      ['from a multicast address', { source: family === 'v4' ? '224.0.0.1' : 'ff02::1' }],
      ['of another kind', { icmp: { type: requestType + (family === 'v4' ? 5 : 2), code: 0 } }],
      ['with a code', { icmp: { type: requestType, code: 1 } }],
    ] as const) {
      test(`${family} icmp: an echo request ${what} → untouched`, () => {
        using plane = TestPlane.reuse();
        plane.serve('tcp', at, []);
        assertPassed(plane, { ...request, ...change });
        assert.equal(plane.reason('answered_echo'), 0n);
      });
    }

    test(`${family} icmp: an echo request of the host's at egress → answered; one that passes through → untouched`, () => {
      using plane = TestPlane.reuse();
      plane.serve('tcp', at, []);
      const program = plane.plane.programs.program('tc_egress');
      const run = (ingressIfindex: number) => {
        const context = new Uint8Array(contextSize);
        new DataView(context.buffer).setUint32(ingressIfindexOffset, ingressIfindex, true);
        return program.testRun({ data: buildPacket(request), context });
      };
      const own = run(0);
      assert.equal(own.returnValue, redirect);
      assertPacket(own.data, reply);
      const other = run(1);
      assert.equal(other.returnValue, 0xffff_ffff);
      assertPacket(other.data, request);
    });

    for (const protocol of ['tcp', 'udp'] as const) {
      const probe: PacketDescription = {
        source: podOne[family],
        sourcePort: 40000,
        destination: serviceWeb[family],
        destinationPort: 33434,
        protocol,
        flags: 'S',
        hopLimit: 1,
      };

      for (const hopLimit of [1, 64]) {
        test(`${family} ${protocol}: a probe of a virtual address with hop limit ${hopLimit} → its port is unreachable`, () => {
          using plane = TestPlane.reuse();
          plane.serve(protocol, at, [formatAddressPort(podFour[family], 8080)]);
          const outcome = plane.ingress(buildPacket({ ...probe, hopLimit }));
          assert.equal(outcome.verdict, 'redirect');
          const kind = family === 'v4' ? 'type 3 code 3' : 'type 1 code 4';
          const number = family === 'v4' ? 1 : 58;
          assert.equal(
            printPacket(outcome.packet),
            `protocol ${number} ${probe.destination} > ${probe.source} ${kind}`,
          );
          assert.equal(plane.reason('rejected_no_service'), 1n);
        });
      }

      test(`${family} ${protocol}: a probe that would expire, of nobody's, the node's or a service's port → not rejected`, () => {
        using plane = TestPlane.reuse();
        plane.serve(protocol, at, [formatAddressPort(podFour[family], 8080)]);
        assertPassed(plane, { ...probe, destination: serviceDns[family] });
        assertPacket(plane.ingress(buildPacket({ ...probe, destinationPort: 80 })).packet, {
          ...probe,
          destination: podFour[family],
          destinationPort: 8080,
        });
        if (protocol === 'tcp') assertPassed(plane, { ...probe, flags: 'A' });
        plane.plane.setOwnAddresses([serviceWeb[family]]);
        assertPassed(plane, probe);
      });
    }
  }

  for (const [name, fragment] of [
    ['the first', 0x2000],
    ['a middle', 0x20b9],
    ['the last', 0x0172],
  ] as const) {
    test(`v4 icmp: ${name} fragment of an echo request → that fragment of the reply`, () => {
      using plane = TestPlane.reuse();
      plane.serve('tcp', '10.96.0.80:80', []);
      const request: PacketDescription = {
        source: podOne.v4,
        destination: serviceWeb.v4,
        protocol: 'icmp',
        icmp: { type: 8, code: 0, rest: 0x1234_0001 },
        fragment,
      };
      const isFirst = fragment === 0x2000;
      const wanted = buildPacket({
        ...request,
        source: request.destination,
        destination: request.source,
        icmp: { type: isFirst ? 0 : 8, code: 0, rest: 0x1234_0001 },
        sourceMac: macNode,
        destinationMac: macClient,
      });
      const outcome = plane.ingress(buildPacket(request));
      assert.equal(outcome.verdict, 'redirect');
      assert.deepEqual([...outcome.packet], [...wanted]);
    });
  }

  for (const [name, offsetAndMore] of [
    ['the first', 0x0001],
    ['a middle', 0x05a9],
    ['the last', 0x0b50],
  ] as const) {
    test(`v6 icmp: ${name} fragment of an echo request → that fragment of the reply`, () => {
      using plane = TestPlane.reuse();
      plane.serve('tcp', '[fd00:10:96::80]:80', []);
      const request: PacketDescription = {
        source: podOne.v6,
        destination: serviceWeb.v6,
        protocol: 'icmp',
        icmp: { type: 128, code: 0, rest: 0x1234_0001 },
      };
      const isFirst = offsetAndMore === 0x0001;
      const wanted: PacketDescription = {
        ...request,
        source: request.destination,
        destination: request.source,
        icmp: { type: isFirst ? 129 : 128, code: 0, rest: 0x1234_0001 },
        sourceMac: macNode,
        destinationMac: macClient,
      };
      const header = Uint8Array.of(58, 0, offsetAndMore >> 8, offsetAndMore & 0xff, 0, 0, 0, 1);
      const outcome = plane.ingress(withFragmentHeader(buildPacket(request), header));
      assert.equal(outcome.verdict, 'redirect');
      assert.deepEqual([...outcome.packet], [...withFragmentHeader(buildPacket(wanted), header)]);
    });
  }

  test('a process that takes over answers for the services that are there, and no longer for others', () => {
    const { programs } = TestPlane.reuse().plane;
    const { maps } = programs;
    const hosted = () => [...maps.get('hosted_addresses').keys()].length;
    const first = new TestPlane({}, programs);
    for (const address of ['10.96.0.80', '10.96.0.10']) first.serve('tcp', `${address}:80`, []);
    assert.equal(hosted(), 2);
    const [key] = [...maps.get('services').keys()];
    assert.ok(key);
    maps.get('services').delete(key);
    new TestPlane({}, programs).plane.setOwnAddresses([]);
    assert.equal(hosted(), 1);
  });
});

function withFragmentHeader(frame: Uint8Array, header: Uint8Array): Uint8Array {
  const longer = join(frame.subarray(0, 54), header, frame.subarray(54));
  longer[20] = 44;
  longer[19] = (longer[19] ?? 0) + header.length;
  return longer;
}
