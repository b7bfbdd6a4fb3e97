// SPDX-License-Identifier: Apache-2.0
// Listings of made-up data that no recording holds: large counters, flags, odd sort orders, long names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatConnections } from '../../../src/cli/format-connections.ts';
import { formatExact, formatLarge, formatListing } from '../../../src/cli/format-listing.ts';
import { numericNames } from '../../../src/cli/names.ts';
import type {
  DestinationStatus,
  ServiceNumbers,
  VirtualServiceStatus,
} from '../../../src/dataplane/data-plane.ts';
import { noRates, noStatistics } from '../../../src/model/statistics.ts';
import type { AddressServiceKey, ServiceTerms } from '../../../src/model/virtual-service.ts';

const plain = { format: 'plain', isExact: false, isSorted: true, names: numericNames } as const;

test('a listing is ipvsadm -Ln to the last trailing blank', () => {
  const services = [
    service({
      address: '10.96.0.1',
      port: 443,
      destinations: [destination({ address: '10.244.1.3', port: 8443 })],
    }),
    service({
      address: '172.16.0.5',
      port: 443,
      scheduler: 'sh',
      schedulerFlags: ['flag-1', 'flag-2'],
      destinations: [
        destination({
          address: '10.244.1.3',
          port: 8443,
          weight: 2,
          activeConnections: 5,
          inactiveConnections: 17,
        }),
        destination({ address: '10.244.2.17', port: 8443, forwarding: 'droute' }),
      ],
    }),
    service({
      protocol: 'sctp',
      address: '10.96.0.10',
      port: 3868,
      scheduler: 'mh',
      schedulerFlags: ['flag-3'],
    }),
    service({
      address: 'fd00::10',
      port: 443,
      destinations: [
        destination({ address: 'fd00:10:244:1::1234:1', port: 8081, forwarding: 'tunnel' }),
        destination({ address: 'fd00:10:244::1234:0', port: 8080, forwarding: 'local' }),
      ],
    }),
  ];
  assert.equal(
    formatListing(services, plain),
    `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  172.16.0.5:443 sh (sh-fallback,sh-port)
  -> 10.244.1.3:8443              Masq    2      5          17        
  -> 10.244.2.17:8443             Route   1      0          0         
TCP  10.96.0.1:443 rr
  -> 10.244.1.3:8443              Masq    1      0          0         
SCTP 10.96.0.10:3868 mh ()
TCP  [fd00::10]:443 rr
  -> [fd00:10:244::1234:0]:8080   Local   1      0          0         
  -> [fd00:10:244:1::1234:1]:8081 Tunnel  1      0          0         
`,
  );
});

test('counters of any size fill ipvsadm --stats columns', () => {
  const statistics = {
    connections: 123456789n,
    inPackets: 99999999n,
    outPackets: 100000000n,
    inBytes: 999999999n,
    outBytes: 123456789012345n,
  };
  const services = [service({ address: '172.16.0.5', port: 443, statistics })];
  const stats = (isExact: boolean) =>
    formatListing(services, { ...plain, format: 'stats', isExact }).split('\n')[2];
  assert.equal(
    stats(false),
    'TCP  172.16.0.5:443                123456K 99999999  100000K  999999K     123T',
  );
  assert.equal(
    stats(true),
    'TCP  172.16.0.5:443               123456789 99999999 100000000 999999999 123456789012345',
  );
});

test("a real server's rates of connections and packets are never shortened", () => {
  const rates = {
    connections: 12n,
    inPackets: 123456789n,
    outPackets: 4n,
    inBytes: 123456789n,
    outBytes: 3n,
  };
  const destinations = [destination({ address: '10.244.1.3', port: 8443, rates })];
  const lines = formatListing([service({ rates, destinations })], { ...plain, format: 'rate' }).split('\n');
  assert.equal(lines[2], 'TCP  10.96.0.1:80                       12  123456K        4  123456K        3');
  assert.equal(lines[3], '  -> 10.244.1.3:8443                    12 123456789        4  123456K        3');
});

test('a large counter is cut, not rounded, at each unit', () => {
  const rows: [bigint, string][] = [
    [0n, '        0'],
    [99_999_999n, ' 99999999'],
    [100_000_000n, '  100000K'],
    [999_999_999n, '  999999K'],
    [1_000_000_000n, '    1000M'],
    [99_999_999_999n, '   99999M'],
    [100_000_000_000n, '     100G'],
    [99_999_999_999_999n, '   99999G'],
    [100_000_000_000_000n, '     100T'],
  ];
  for (const [value, text] of rows) assert.equal(formatLarge(value), text);
  assert.equal(formatExact(7n), '        7');
  assert.equal(formatExact(123_456_789n), ' 123456789');
});

test('without sorting, services stay as they come and real servers are newest first', () => {
  const destinations = [destination({ address: '10.0.0.1' }), destination({ address: '10.0.0.2' })];
  const services = [service({ address: '10.96.0.2', destinations }), service({ address: '10.96.0.1' })];
  const names = formatListing(services, { ...plain, isSorted: false })
    .split('\n')
    .slice(2, -1)
    .map((line) => line.slice(5, 20).split(' ')[0]);
  assert.deepEqual(names, ['10.96.0.2:80', '10.0.0.2:80', '10.0.0.1:80', '10.96.0.1:80']);
});

test('a connection line is as wide as ipvsadm -Lnc prints it', () => {
  const text = formatConnections(
    [
      {
        protocol: 'udp',
        state: 'UDP',
        client: { address: '192.168.1.50', port: 5353 },
        virtual: { address: '10.96.0.10', port: 53 },
        destination: { address: '10.244.1.6', port: 53 },
        expiresInMs: 300_000,
      },
      {
        protocol: 'tcp',
        state: 'SYN_RECV',
        client: { address: '2001:db8::50', port: 40000 },
        virtual: { address: 'fd00::10', port: 443 },
        destination: { address: 'fd00:1::5', port: 8443 },
        expiresInMs: 10_799_999,
      },
    ],
    numericNames,
  );
  assert.equal(
    text,
    `IPVS connection entries
pro expire state       source             virtual            destination
UDP 05:00  UDP         192.168.1.50:5353  10.96.0.10:53      10.244.1.6:53
TCP 179:59 SYN_RECV    [2001:db8::50]:40000 [fd00::10]:443     [fd00:1::5]:8443
`,
  );
});

function service(part: Partial<AddressServiceKey & ServiceTerms & ServiceNumbers>): VirtualServiceStatus {
  return {
    protocol: 'tcp',
    address: '10.96.0.1',
    port: 80,
    scheduler: 'rr',
    schedulerFlags: [],
    noDestination: 'reject',
    destinations: [],
    statistics: noStatistics,
    rates: noRates,
    ...part,
  };
}

function destination(part: Partial<DestinationStatus>): DestinationStatus {
  return {
    address: '10.244.1.3',
    port: 80,
    weight: 1,
    forwarding: 'masq',
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    statistics: noStatistics,
    rates: noRates,
    ...part,
  };
}
