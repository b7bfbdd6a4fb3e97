// SPDX-License-Identifier: Apache-2.0
// Services that are not the same for everybody: views of clients inside and outside, and source ranges.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '../../src/model/cidr.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { VirtualService } from '../../src/model/virtual-service.ts';
import { assertPacket, buildPacket, type PacketDescription } from '../lib/packet.ts';
import { TestPlane } from '../lib/plane.ts';
import { inNetworkNamespace, u32 } from './native/sample.ts';
import { makeOutside, outsidePlane, outsideRows } from './outside-plane.ts';

const hopLimit = 63;

inNetworkNamespace(import.meta.filename, () => {
  const nic = makeOutside();
  for (const row of outsideRows) {
    const { family, client, node, virtual, destination: far } = row;
    const isV4 = family === 'v4';
    const near = isV4 ? '10.244.2.21' : 'fd00:10:244:2::21';
    const request: PacketDescription = {
      source: client,
      sourcePort: 40000,
      destination: virtual,
      destinationPort: 80,
      protocol: 'tcp',
      flags: 'S',
    };
    const key = { protocol: 'tcp', address: virtual, port: 80 } as const;
    const definition = { ...key, scheduler: 'rr', schedulerFlags: [], noDestination: 'reject' } as const;
    const to = (address: string, clients?: 'inside' | 'outside') =>
      ({ address, port: 8080, weight: 1, forwarding: 'masq', ...(clients && { clients }) }) as const;
    const ranges = (...texts: string[]) => texts.flatMap((text) => parseCidr(text) ?? []);
    const whole = isV4 ? 32 : 128;

    /** A plane with one service; test runs come in by an uplink. */
    function serving(terms: Partial<VirtualService>): TestPlane {
      const plane = outsidePlane(row, 'udp', nic);
      const { destinations = [], ...rest } = terms;
      plane.apply(
        { do: 'add-service', service: { ...definition, ...rest } as VirtualService },
        ...destinations.map(
          (each): Operation => ({ do: 'add-destination', service: key, destination: each }),
        ),
      );
      return plane;
    }

    /** From now on test runs come in from inside. */
    function comeFromInside(plane: TestPlane): void {
      plane.plane.programs.maps.get('uplinks').delete(u32(1));
    }

    /** And from outside again. */
    function comeFromOutside(plane: TestPlane): void {
      const { maps } = plane.plane.programs;
      const uplink = maps.get('uplinks').lookup(u32(nic.index));
      assert.ok(uplink);
      maps.get('uplinks').update(u32(1), uplink);
    }

    const sentTo = (address: string, sourcePort = 40000) => ({
      ...request,
      sourcePort,
      source: node,
      destination: address,
      destinationPort: 8080,
      hopLimit,
    });
    const turnedTo = (address: string) => ({ ...request, destination: address, destinationPort: 8080 });

    test(`${family} view: a client outside and one inside → each to a destination of its own`, () => {
      const plane = serving({
        outside: { noDestination: 'drop' },
        destinations: [to(far, 'outside'), to(near, 'inside')],
      });
      for (const sourcePort of [40000, 40001, 40002]) {
        const outcome = plane.ingress(buildPacket({ ...request, sourcePort }));
        assert.equal(outcome.verdict, 'redirect');
        assertPacket(outcome.packet, sentTo(far, sourcePort));
      }
      comeFromInside(plane);
      for (const sourcePort of [40003, 40004, 40005]) {
        const outcome = plane.ingress(buildPacket({ ...request, sourcePort }));
        assert.equal(outcome.verdict, 'pass');
        assertPacket(outcome.packet, { ...turnedTo(near), sourcePort });
      }
    });

    test(`${family} view: none for clients outside → dropped, or rejected, and clients inside are served`, () => {
      for (const noDestination of ['drop', 'reject'] as const) {
        const plane = serving({ outside: { noDestination }, destinations: [to(near, 'inside')] });
        const verdict = noDestination === 'drop' ? 'drop' : 'redirect';
        assert.equal(plane.ingress(buildPacket(request)).verdict, verdict);
        const reason = noDestination === 'drop' ? 'dropped_no_destination' : 'rejected_no_destination';
        assert.equal(plane.reason(reason), 1n);
        comeFromInside(plane);
        assertPacket(plane.ingress(buildPacket(request)).packet, turnedTo(near));
      }
    });

    test(`${family} view: one that begins or ends → connections go on, new ones go by what is`, () => {
      const plane = serving({ destinations: [to(far), to(near)] });
      const first = plane.ingress(buildPacket(request)).packet;
      const isFar = Buffer.from(first).toString('hex').includes(hexOf(far));
      const [chosen, other] = isFar ? [far, near] : [near, far];
      const ack = { ...request, flags: 'A' } as const;
      plane.apply(
        { do: 'edit-service', service: { ...definition, outside: { noDestination: 'drop' } } },
        { do: 'edit-destination', service: key, destination: to(chosen, 'inside') },
      );
      assertPacket(plane.ingress(buildPacket(ack)).packet, { ...sentTo(chosen), flags: 'A' });
      for (const sourcePort of [40001, 40002]) {
        const outcome = plane.ingress(buildPacket({ ...request, sourcePort }));
        assertPacket(outcome.packet, sentTo(other, sourcePort));
      }
      plane.apply(
        { do: 'edit-service', service: definition },
        { do: 'edit-destination', service: key, destination: to(chosen) },
      );
      assertPacket(plane.ingress(buildPacket(ack)).packet, { ...sentTo(chosen), flags: 'A' });
      const targets = [40003, 40004].map((sourcePort) => {
        const { packet } = plane.ingress(buildPacket({ ...request, sourcePort }));
        return Buffer.from(packet).toString('hex').includes(hexOf(chosen));
      });
      assert.deepEqual(targets.sort(), [false, true]);
    });

    test(`${family} view: a client with a template for a destination that its view does not have → is led to another`, () => {
      const persistence = { timeoutSeconds: 60, prefixLength: whole };
      const outside = { noDestination: 'drop' } as const;
      const plane = serving({
        ...{ persistence, outside },
        destinations: [to(far, 'outside'), to(near, 'inside')],
      });
      const send = (sourcePort: number) => plane.ingress(buildPacket({ ...request, sourcePort })).packet;
      assertPacket(send(40000), sentTo(far, 40000));
      comeFromInside(plane);
      assertPacket(send(40001), { ...turnedTo(near), sourcePort: 40001 });
      assertPacket(send(40002), { ...turnedTo(near), sourcePort: 40002 });
      comeFromOutside(plane);
      assertPacket(send(40003), sentTo(far, 40003));
      plane.apply(
        { do: 'edit-destination', service: key, destination: to(far, 'inside') },
        { do: 'edit-destination', service: key, destination: to(near, 'outside') },
      );
      assertPacket(send(40004), sentTo(near, 40004));
      plane.apply({ do: 'edit-service', service: { ...definition, persistence } });
      comeFromInside(plane);
      assertPacket(send(40005), { ...turnedTo(near), sourcePort: 40005 });
    });

    test(`${family} view: a service of all ports → a client outside is served at whatever port it asks for`, () => {
      const plane = outsidePlane(row, 'udp', nic);
      const ofAllPorts = { ...key, port: 0 };
      const persistence = { timeoutSeconds: 60, prefixLength: whole };
      const outside = { noDestination: 'drop' } as const;
      plane.apply(
        { do: 'add-service', service: { ...definition, port: 0, persistence, outside } },
        { do: 'add-destination', service: ofAllPorts, destination: { ...to(far, 'outside'), port: 0 } },
        { do: 'add-destination', service: ofAllPorts, destination: { ...to(near, 'inside'), port: 0 } },
      );
      const outcome = plane.ingress(buildPacket({ ...request, destinationPort: 443 }));
      assert.equal(outcome.verdict, 'redirect');
      assertPacket(outcome.packet, { ...sentTo(far), destinationPort: 443 });
    });

    const inRange = `${client}/${whole}`;
    const elsewhere = isV4 ? '203.0.113.0/24' : 'fd00:203:0:113::/64';
    const network = isV4 ? '192.0.2.0/25' : 'fd00:192:0:2::/64';

    for (const [side, comes] of [
      ['outside', () => {}],
      ['inside', comeFromInside],
    ] as const) {
      test(`${family} source ranges: a client ${side} of none of them → dropped and counted, until it is let in`, () => {
        const plane = serving({ sourceRanges: ranges(elsewhere), destinations: [to(near)] });
        comes(plane);
        assert.equal(plane.ingress(buildPacket(request)).verdict, 'drop');
        assert.equal(plane.reason('dropped_source_range'), 1n);
        for (const range of [inRange, network]) {
          plane.apply({
            do: 'edit-service',
            service: { ...definition, sourceRanges: ranges(elsewhere, range) },
          });
          const expected = side === 'outside' ? sentTo(near) : turnedTo(near);
          assertPacket(plane.ingress(buildPacket(request)).packet, expected);
          plane.advance(1000);
          plane.apply({
            do: 'edit-service',
            service: { ...definition, sourceRanges: ranges(elsewhere) },
          });
          assert.equal(plane.ingress(buildPacket(request)).verdict, 'drop', range);
        }
        plane.apply({ do: 'edit-service', service: definition });
        assert.equal([...plane.plane.programs.maps.get('source_ranges').keys()].length, 0);
        assert.notEqual(plane.ingress(buildPacket(request)).verdict, 'drop');
      });
    }

    test(`${family} source ranges: without a destination → dropped, not rejected`, () => {
      const plane = serving({ sourceRanges: ranges(elsewhere) });
      assert.equal(plane.ingress(buildPacket(request)).verdict, 'drop');
      assert.equal(plane.reason('dropped_source_range'), 1n);
    });

    test(`${family}: a later process has the same services, and the view and the ranges go with their service`, () => {
      const plane = serving({
        outside: { noDestination: 'drop' },
        sourceRanges: ranges(network, elsewhere),
        destinations: [to(far, 'outside'), to(near, 'inside')],
      });
      const { programs } = plane.plane;
      const sorted = (one: TestPlane) =>
        one.plane
          .configuration()
          .filter(({ protocol }) => protocol === 'tcp')
          .map((service) => ({
            ...service,
            sourceRanges: [...(service.sourceRanges ?? [])].sort((a, b) => (a.address < b.address ? -1 : 1)),
          }));
      const later = new TestPlane({}, programs);
      assert.deepEqual(sorted(later), sorted(plane));
      assertPacket(later.ingress(buildPacket(request)).packet, sentTo(far));
      later.apply({ do: 'delete-service', service: key });
      assert.equal([...programs.maps.get('services').keys()].length, 1);
      assert.equal([...programs.maps.get('source_ranges').keys()].length, 0);
    });

    function hexOf(address: string): string {
      const bytes = isV4
        ? Buffer.from(address.split('.').map(Number))
        : Buffer.from(buildPacket(sentTo(address)).subarray(38, 54));
      return bytes.toString('hex');
    }
  }
});
