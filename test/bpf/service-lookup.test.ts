// SPDX-License-Identifier: Apache-2.0
// Which service a first packet is for: by mark, by address and port, of FTP, of all ports (ip_vs_ctl.c: ip_vs_service_find).
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { Protocol } from '../../src/model/virtual-service.ts';
import { type DualAddress, podFive, podFour, podOne, podSix, serviceWeb } from '../lib/cast.ts';
import { assertPacket, buildPacket, type PacketDescription } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections, opening } from '../lib/talk.ts';

const mark = 7;
const ftp = 21;
const ftpData = 20;
const passive = 50_000;
const elsewhere: DualAddress = { v4: '203.0.113.7', v6: 'fd00:203:0:113::7' };

suite('services that packets are for', { skip: missingForBpf() ?? false }, () => {
  for (const family of ['v4', 'v6'] as const) {
    const { [family]: virtual } = serviceWeb;
    const persistence = { timeoutSeconds: 60, prefixLength: family === 'v4' ? 32 : 128 };
    let lastPort = 40_000;

    const serve = (
      plane: TestPlane,
      port: number,
      pod: DualAddress | undefined,
      options: { persistence?: typeof persistence; protocol?: Protocol; targetPort?: number } = {},
    ) => {
      const { protocol = 'tcp', targetPort = port, ...rest } = options;
      const destinations = pod ? [formatAddressPort(pod[family], targetPort)] : [];
      return plane.serve(protocol, formatAddressPort(virtual, port), destinations, rest);
    };

    const serveMark = (plane: TestPlane, pod: DualAddress, targetPort: number, of = family) => {
      const service = { mark, family: of === 'v4' ? 4 : 6 } as const;
      const terms = { scheduler: 'rr', schedulerFlags: [], noDestination: 'reject' } as const;
      const destination = { address: pod[of], port: targetPort, weight: 1, forwarding: 'masq' } as const;
      const operations: readonly Operation[] = [
        { do: 'add-service', service: { ...service, ...terms } },
        { do: 'add-destination', service, destination },
      ];
      plane.apply(...operations);
      return service;
    };

    /** A client's first packet, each from a port of its own. */
    const request = (port: number, more: Partial<PacketDescription> = {}): PacketDescription => {
      const { protocol = 'tcp' } = more;
      return {
        ...{ source: podOne[family], sourcePort: ++lastPort, destination: virtual, destinationPort: port },
        ...{ flags: protocol === 'icmp' ? '' : opening[protocol] },
        ...more,
        protocol,
      };
    };

    function goesTo(plane: TestPlane, sent: PacketDescription, pod: DualAddress, port: number, by = 0): void {
      const { verdict, packet } = plane.ingress(buildPacket(sent), 0, by);
      assert.equal(verdict, 'pass');
      assertPacket(packet, { ...sent, destination: pod[family], destinationPort: port });
    }

    function isUntouched(plane: TestPlane, sent: PacketDescription, by = 0): void {
      const { verdict, packet } = plane.ingress(buildPacket(sent), 0, by);
      assert.equal(verdict, 'pass');
      assertPacket(packet, sent);
    }

    const isRejected = (plane: TestPlane, sent: PacketDescription, by = 0) =>
      assert.equal(plane.ingress(buildPacket(sent), 0, by).verdict, 'redirect');

    test(`${family} tcp masq: persistent FTP → data connections to port 20 and unprivileged ports follow their client`, () => {
      using plane = TestPlane.reuse();
      const service = serve(plane, ftp, podFour, { persistence, targetPort: 2121 });
      plane.apply({
        do: 'add-destination',
        service,
        destination: { address: podFive[family], port: 2121, weight: 1, forwarding: 'masq' },
      });
      goesTo(plane, request(ftp), podFive, 2121);
      for (const port of [ftpData, 1024, passive]) goesTo(plane, request(port), podFive, port);
      goesTo(plane, request(ftp), podFive, 2121);
      const other = { source: podSix[family] };
      goesTo(plane, request(passive, other), podFour, passive);
      goesTo(plane, request(ftp, other), podFour, 2121);
      const templates = connections(plane).filter(({ isTemplate }) => isTemplate);
      assert.deepEqual(
        templates.map(({ virtual, destination }) => [virtual.port, destination.port]),
        [
          [0, 0],
          [0, 0],
        ],
      );
    });

    test(`${family} tcp masq: FTP → packets to other privileged ports and of UDP are for no service, those from port 20 untouched`, () => {
      using plane = TestPlane.reuse();
      const service = serve(plane, ftp, podFour, { persistence });
      for (const port of [22, 80, 1023]) isRejected(plane, request(port));
      isRejected(plane, request(passive, { protocol: 'udp' }));
      assert.equal(plane.reason('rejected_no_service'), 4n);
      isUntouched(plane, request(ftp, { sourcePort: ftpData }));
      assert.equal(plane.reason('passed_ftp_data'), 1n);
      goesTo(plane, request(passive), podFour, passive);
      plane.apply({ do: 'delete-service', service });
      isUntouched(plane, request(passive));
    });

    test(`${family} tcp: FTP without persistence, or without destinations → its own port is served or rejected, others are for no service`, () => {
      using plane = TestPlane.reuse();
      const service = serve(plane, ftp, podFour);
      goesTo(plane, request(ftp), podFour, ftp);
      isRejected(plane, request(passive));
      plane.apply({ do: 'delete-service', service });
      serve(plane, ftp, undefined, { persistence });
      isRejected(plane, request(passive));
      isRejected(plane, request(ftp));
      assert.equal(plane.reason('rejected_no_service'), 2n);
      assert.equal(plane.reason('rejected_no_destination'), 1n);
    });

    test(`${family} tcp masq: a service at the very port → goes before FTP's, and that before the one of all ports`, () => {
      using plane = TestPlane.reuse();
      serve(plane, 0, podFour, { persistence });
      goesTo(plane, request(passive), podFour, passive);
      plane.advance(1000);
      const ftpService = serve(plane, ftp, podFive, { persistence });
      goesTo(plane, request(passive), podFive, passive);
      plane.advance(1000);
      serve(plane, passive, podSix, { targetPort: 8080 });
      goesTo(plane, request(passive), podSix, 8080);
      goesTo(plane, request(passive + 1), podFive, passive + 1);
      plane.advance(1000);
      plane.apply({ do: 'delete-service', service: ftpService });
      goesTo(plane, request(passive + 1), podFour, passive + 1);
    });

    test(`${family} tcp: a service of all ports without persistence → rejected, as it would be without destinations`, () => {
      using plane = TestPlane.reuse();
      serve(plane, 0, podFour);
      isRejected(plane, request(80));
      assert.equal(plane.reason('rejected_no_destination'), 1n);
    });

    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      test(`${family} ${protocol} masq: a marked packet → goes to its mark's service, wherever it is for`, () => {
        using plane = TestPlane.reuse();
        serve(plane, 80, podFour, { protocol });
        serveMark(plane, podFive, 8080);
        goesTo(plane, request(80, { protocol }), podFive, 8080, mark);
        goesTo(plane, request(81, { protocol, destination: elsewhere[family] }), podFive, 8080, mark);
        goesTo(plane, request(80, { protocol }), podFour, 80);
        goesTo(plane, request(80, { protocol }), podFour, 80, mark + 1);
        isUntouched(plane, request(81, { protocol, destination: elsewhere[family] }), mark + 1);
      });
    }

    test(`${family} tcp masq: the mark of a service whose destinations have no port, or are of the other family → kept, or none of ours`, () => {
      using plane = TestPlane.reuse();
      const service = serveMark(plane, podFive, 0);
      goesTo(plane, request(8443), podFive, 8443, mark);
      plane.apply({ do: 'delete-service', service });
      isUntouched(plane, request(8443), mark);
      serveMark(plane, podFive, 0, family === 'v4' ? 'v6' : 'v4');
      isUntouched(plane, request(8443), mark);
    });
  }
});
