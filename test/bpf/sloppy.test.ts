// SPDX-License-Identifier: Apache-2.0
// The sysctls sloppy_tcp and sloppy_sctp: which packets in the middle of a connection may open one, and in what state.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import { podFour, podOne, serviceWeb } from '../lib/cast.ts';
import { assertPacket, buildPacket, type Flags, type PacketDescription } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections, counts } from '../lib/talk.ts';

/** The state that each first packet of a client leads to from NONE (ip_vs_proto_tcp.c, ip_vs_proto_sctp.c); null: none. */
const openings: Readonly<Record<'tcp' | 'sctp', Readonly<Record<string, string | null>>>> = {
  tcp: { A: 'ESTABLISHED', PA: 'ESTABLISHED', SA: 'SYN_RECV', FA: 'CLOSE', '': 'CLOSE', R: null, RA: null },
  sctp: {
    DATA: 'ESTABLISHED',
    SACK: 'ESTABLISHED',
    HEARTBEAT: 'ESTABLISHED',
    'INIT-ACK': 'C-WAIT',
    'COOKIE-ECHO': 'C-REPLIED',
    'COOKIE-ACK': 'ESTABLISHED',
    SHUTDOWN: 'S-RECEIVED',
    'SHUTDOWN-ACK': 'CLOSED',
    'SHUTDOWN-COMPLETE': 'CLOSED',
    ERROR: 'CLOSED',
    ABORT: null,
  },
};

const active = ['ESTABLISHED', 'SYN_RECV'];

suite('sloppy openings', { skip: missingForBpf() ?? false }, () => {
  for (const family of ['v4', 'v6'] as const) {
    for (const protocol of ['tcp', 'sctp'] as const) {
      const request = (flags: string): PacketDescription => ({
        source: podOne[family],
        sourcePort: 40000,
        destination: serviceWeb[family],
        destinationPort: serviceWeb.port,
        protocol: protocol,
        flags: flags as Flags,
      });
      /** @param isSloppy whether about this protocol, or about the other one alone */
      const served = (isSloppy: boolean) => {
        const sloppy = isSloppy === (protocol === 'tcp');
        const plane = TestPlane.reuse({ sloppyTcp: sloppy, sloppySctp: !sloppy });
        const at = formatAddressPort(serviceWeb[family], serviceWeb.port);
        plane.serve(protocol, at, [formatAddressPort(podFour[family], 8080)]);
        return plane;
      };
      const turned = { destination: podFour[family], destinationPort: 8080 };
      for (const [flags, state] of Object.entries(openings[protocol])) {
        const outcome = state ? `opens a connection in ${state}` : 'untouched';
        test(`${family} ${protocol} masq: "${flags}" without a connection, with sloppy_${protocol} → ${outcome}`, () => {
          using plane = served(true);
          const packet = buildPacket(request(flags));
          assertPacket(plane.ingress(packet).packet, { ...request(flags), ...(state && turned) });
          assert.deepEqual(
            connections(plane).map((each) => each.state),
            state ? [state] : [],
          );
          if (state) assert.deepEqual(counts(plane), active.includes(state) ? [1, 0] : [0, 1]);
        });

        test(`${family} ${protocol} masq: "${flags}" without a connection, with the other sysctl alone → ${flags === 'SA' ? 'opens one all the same' : 'untouched'}`, () => {
          using plane = served(false);
          const opens = flags === 'SA';
          const { packet } = plane.ingress(buildPacket(request(flags)));
          assertPacket(packet, { ...request(flags), ...(opens && turned) });
          assert.equal(connections(plane).length, opens ? 1 : 0);
        });
      }
    }
  }
});
