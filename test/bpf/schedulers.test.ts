// SPDX-License-Identifier: Apache-2.0
// The loaded schedulers, asked for answers that are known; test/lib/scheduler-comparison.ts has the random ones.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode, encode } from '../../src/dataplane/bpf/struct.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import { DestinationModel } from '../../src/model/schedulers/destination-model.ts';
import { ServiceModel } from '../../src/model/schedulers/service-model.ts';
import { PowerOfTwoChoices } from '../../src/model/schedulers/twos.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane, testSizes } from '../lib/plane.ts';

interface Client {
  readonly address: string;
  readonly port: number;
}

/** Where the data plane sends a client's first packet; undefined where it has no one to send it to. */
function pick(plane: TestPlane, virtual: string, { address, port }: Client): string | undefined {
  const packet = buildPacket({
    source: address,
    sourcePort: port,
    destination: virtual,
    destinationPort: 80,
    protocol: 'udp',
  });
  const outcome = plane.ingress(packet);
  return outcome.verdict === 'pass' ? tupleOf(outcome.packet).destination : undefined;
}

suite('schedulers', { skip: missingForBpf() ?? false }, () => {
  /** Clients whose place in sh's table is known. */
  const places: readonly (readonly [address: string, port: number, usesPort: boolean, place: number])[] = [
    ['10.0.0.1', 1024, false, 39],
    ['10.0.0.2', 1024, false, 137],
    ['192.168.1.50', 1024, false, 64],
    ['10.0.0.1', 40000, true, 203],
    ['10.0.0.1', 40001, true, 45],
    ['255.255.255.255', 1, true, 0],
    ['2001:db8::1', 1024, false, 63],
    ['2001:db8::1', 40000, true, 226],
    ['2001:db8:1234:5678:9abc:def0:1234:5678', 1024, false, 127],
  ];

  test('sh: clients of known places are found there', () => {
    using plane = new TestPlane();
    for (const [address, port, usesPort, place] of places) {
      const isV6 = address.includes(':');
      const flags = usesPort ? (['flag-2'] as const) : [];
      const virtual = isV6 ? 'fd00:10:96::1' : '10.96.0.1';
      const to = isV6 ? '[fd00:10:244::1]:80' : '10.244.0.1:80';
      const service = plane.serve('udp', formatAddressPort(virtual, 80), [to], { scheduler: 'sh', flags });
      assert.equal(explainedPlace(plane, { address, port }, virtual), place, `${address} ${port}`);
      plane.apply({ do: 'delete-service', service });
    }
  });

  test('dh: a virtual address of known place is found there', () => {
    using plane = new TestPlane();
    plane.serve('udp', '10.96.0.10:80', ['10.244.0.1:80'], { scheduler: 'dh' });
    assert.equal(explainedPlace(plane, { address: '10.0.0.1', port: 1024 }, '10.96.0.10'), 242);
  });

  const [a, b, c] = ['10.0.1.1:80', '10.0.1.2:80', '10.0.1.3:80'] as const;

  test('sh: known clients go to known destinations, with and without their ports', () => {
    using plane = new TestPlane();
    plane.serve('udp', '10.96.0.1:80', [a, b, c], { scheduler: 'sh' });
    plane.serve('udp', '10.96.0.2:80', [a, b, c], { scheduler: 'sh', flags: ['flag-2'] });
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.1', port: 1024 }), c);
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.2', port: 1024 }), a);
    assert.equal(pick(plane, '10.96.0.1', { address: '192.168.1.50', port: 1024 }), b);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 40000 }), a);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 40001 }), c);
  });

  test('sh-fallback: from a destination of weight 0 on to the place of twice the hash', () => {
    using plane = new TestPlane();
    const list = [a, b, { at: c, weight: 0 }];
    plane.serve('udp', '10.96.0.1:80', list, { scheduler: 'sh', flags: ['flag-1'] });
    plane.serve('udp', '10.96.0.2:80', list, { scheduler: 'sh', noDestination: 'drop' });
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.1', port: 1024 }), b);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 1024 }), undefined);
  });

  test('mh: known clients go to known destinations, with and without their ports', () => {
    using plane = new TestPlane();
    plane.serve('udp', '10.96.0.1:80', [a, b, c], { scheduler: 'mh' });
    plane.serve('udp', '10.96.0.2:80', [a, b, c], { scheduler: 'mh', flags: ['flag-2'] });
    assert.equal(explainedPlace(plane, { address: '10.0.0.1', port: 1024 }, '10.96.0.1'), 3711);
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.1', port: 1024 }), a);
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.2', port: 1024 }), a);
    assert.equal(pick(plane, '10.96.0.1', { address: '192.168.1.50', port: 1024 }), c);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 40000 }), a);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 40001 }), b);
  });

  test('mh-fallback: from a destination that was given weight 0 on to the next hash of the client', () => {
    using plane = new TestPlane();
    const service = plane.serve('udp', '10.96.0.1:80', [a, b, c], { scheduler: 'mh', flags: ['flag-1'] });
    const destination = { ...socketAddress(a), weight: 0, forwarding: 'masq' as const };
    plane.apply({ do: 'edit-destination', service, destination });
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.1', port: 1024 }), b);
  });

  test('wrr: a service that is added with its destinations at once begins in its last pass, as one by one', () => {
    using plane = new TestPlane();
    const list = [a, b, c].map((at, n) => ({ at, weight: 4 - n }));
    plane.serve('udp', '10.96.0.1:80', list, { scheduler: 'wrr' });
    const picks = Array.from({ length: 6 }, (_, n) =>
      pick(plane, '10.96.0.1', { address: `10.0.0.${n}`, port: 1 }),
    );
    assert.deepEqual(picks, [c, b, a, a, b, a]);
  });

  test('wrr: weights of tens of thousands are walked as the kernel does, also past full destinations', () => {
    using plane = new TestPlane();
    const model = new ServiceModel({ scheduler: 'wrr', schedulerFlags: [] });
    const service = plane.serve('udp', '10.96.0.1:80', [], { scheduler: 'wrr', noDestination: 'drop' });
    const settings = [
      { weight: 30_001, upperThreshold: 8 },
      { weight: 65_537, upperThreshold: 5 },
      { weight: 99_999, upperThreshold: 3 },
      { weight: 1, upperThreshold: 4 },
    ];
    for (const [n, setting] of settings.entries()) {
      const destination = { address: `10.0.1.${n + 1}`, port: 80, ...setting };
      model.add(destination);
      plane.apply({
        do: 'add-destination',
        service,
        destination: { ...destination, forwarding: 'masq' },
      });
    }
    for (let client = 1; client <= 24; client++) {
      const source = { address: `172.16.0.${client}`, port: 1024 };
      const chosen = model.pick({ source: source.address, sourcePort: 1024, destination: '10.96.0.1' });
      chosen?.bindConnection();
      assert.equal(pick(plane, '10.96.0.1', source), chosen && `${chosen.address}:80`, `client ${client}`);
    }
  });

  test('lc: of a thousand destinations each gets its connection before any gets two', () => {
    using plane = new TestPlane();
    const list = Array.from({ length: 1000 }, (_, n) => `10.0.${n >> 8}.${n & 255}:80`);
    plane.serve('udp', '10.96.0.1:80', list, { scheduler: 'lc' });
    const chosen = list.map((_, n) => {
      const client = { address: `172.16.${n >> 8}.${n & 255}`, port: 1024 };
      return pick(plane, '10.96.0.1', client);
    });
    assert.deepEqual(chosen, list.toReversed());
  });

  test('a scheduler is changed without touching the connections that there are', () => {
    using plane = new TestPlane();
    const service = plane.serve('udp', '10.96.0.1:80', [a, b, c], { scheduler: 'rr' });
    const clients = [1, 2, 3].map((n) => ({ address: `172.16.0.${n}`, port: 1024 }));
    const before = clients.map((client) => pick(plane, '10.96.0.1', client));
    for (const scheduler of ['mh', 'wrr', 'fo', 'rr'] as const) {
      plane.apply({
        do: 'edit-service',
        service: { ...service, scheduler, schedulerFlags: [], noDestination: 'reject' },
      });
      const now = clients.map((client) => pick(plane, '10.96.0.1', client));
      assert.deepEqual(now, before, scheduler);
    }
    assert.deepEqual(before, [c, b, a]);
  });

  test('twos: destinations are drawn as often as their weights and loads say', () => {
    using plane = new TestPlane();
    const weights = [3, 2, 1, 0];
    const totals = [0, 40, 3, 0];
    const list = weights.map((weight, n) => ({ at: `10.0.1.${n + 1}:80`, weight }));
    plane.serve('udp', '10.96.0.1:80', list, { scheduler: 'twos' });
    const loads = plane.plane.programs.maps.get('destination_loads');
    const members = weights.map((weight, n) => {
      loads.update(Uint8Array.of(n, 0, 0, 0), encode(layouts.destination_load, { total: totals[n] ?? 0 }));
      const member = new DestinationModel({ address: `10.0.1.${n + 1}`, port: 80 }, 'recent');
      member.enter({ address: member.address, port: 80, weight });
      for (let bound = 0; bound < (totals[n] ?? 0); bound++) member.bindConnection();
      return member;
    });
    const chances = chancesOfTwos(members.toReversed());
    const draws = 10_000;
    const counts = weights.map(() => 0);
    for (let draw = 0; draw < draws; draw++) {
      const place = explainedPlace(plane, { address: '172.16.0.1', port: 1024 }, '10.96.0.1');
      counts[place] = (counts[place] ?? 0) + 1;
    }
    for (const [place, chance] of chances.entries()) {
      const deviation = Math.sqrt((chance * (1 - chance)) / draws);
      const share = (counts[place] ?? 0) / draws;
      assert.ok(Math.abs(share - chance) <= 6 * deviation, `${share} of place ${place}, not ${chance}`);
    }
  });

  test('what kernel IPVS refuses changes nothing', () => {
    using plane = new TestPlane();
    const service = plane.serve('udp', '10.96.0.1:80', [a], { scheduler: 'mh' });
    const definition = { ...service, scheduler: 'mh', schedulerFlags: [], noDestination: 'reject' } as const;
    const destination = { ...socketAddress(a), weight: 1, forwarding: 'masq' } as const;
    const other = { ...destination, ...socketAddress(b) };
    const before = plane.plane.services();
    const failures = plane.plane.apply([
      { do: 'edit-service', service: { ...definition, scheduler: 'none' as 'rr' } },
      { do: 'add-service', service: { ...definition, port: 81, scheduler: 'wlcc' as 'rr' } },
      { do: 'add-destination', service, destination: { ...other, weight: -1 } },
      { do: 'edit-destination', service, destination: { ...destination, weight: 2 ** 31 } },
      {
        do: 'edit-destination',
        service,
        destination: { ...destination, upperThreshold: 2, lowerThreshold: 3 },
      },
      { do: 'add-destination', service, destination: { ...other, lowerThreshold: 1 } },
      { do: 'add-destination', service, destination: { ...other, upperThreshold: 2 ** 31 } },
    ]);
    assert.deepEqual(
      failures.map(({ error }) => (error as NodeJS.ErrnoException).code),
      ['ENOENT', 'ENOENT', 'ERANGE', 'ERANGE', 'ERANGE', 'ERANGE', 'EINVAL'],
    );
    assert.deepEqual(plane.plane.services(), before);
  });

  test('mh takes 4093 destinations and no more, wherever they come from', () => {
    using plane = new TestPlane({ sizes: { ...testSizes, destinations: 8192 } });
    const list = Array.from({ length: 4093 }, (_, n) => `10.0.${n >> 8}.${n & 255}:80`);
    const service = plane.serve('udp', '10.96.0.1:80', list, { scheduler: 'mh' });
    const definition = { ...service, scheduler: 'rr', schedulerFlags: [], noDestination: 'reject' } as const;
    const add = {
      do: 'add-destination',
      service,
      destination: { ...socketAddress(a), port: 81, weight: 1, forwarding: 'masq' },
    } as const;
    const codes = (...operations: Parameters<typeof plane.plane.apply>[0]) =>
      plane.plane.apply(operations).map(({ error }) => (error as NodeJS.ErrnoException).code);
    assert.deepEqual(codes(add), ['EINVAL']);
    assert.deepEqual(codes({ do: 'edit-service', service: definition }, add), []);
    assert.deepEqual(codes({ do: 'edit-service', service: { ...definition, scheduler: 'mh' } }), ['EINVAL']);
    assert.equal(plane.plane.configuration()[0]?.scheduler, 'rr');
    assert.equal(pick(plane, '10.96.0.1', { address: '172.16.0.1', port: 1024 }), '10.0.1.1:81');
  });
});

/** How likely each member of the list is, from all pairs of numbers that can be drawn. */
function chancesOfTwos(list: readonly DestinationModel[]): readonly number[] {
  const highest = list.reduce((sum, { weight }) => sum + weight, 0);
  const counts = list.map(() => 0);
  for (let first = 0; first <= highest; first++) {
    for (let second = 0; second <= highest; second++) {
      const numbers = [first, second];
      const twos = new PowerOfTwoChoices<DestinationModel>({
        profile: 'recent',
        random: () => numbers.shift() ?? 0,
      });
      const chosen = twos.pick({ destinations: list, schedulerFlags: [] });
      const place = chosen ? list.indexOf(chosen) : -1;
      counts[place] = (counts[place] ?? 0) + 1;
    }
  }
  return counts.map((count) => count / (highest + 1) ** 2);
}

/** The place of the scheduler's table that the program `explain` names. */
function explainedPlace(plane: TestPlane, { address, port }: Client, virtual: string): number {
  const data = buildPacket({
    source: address,
    sourcePort: port,
    destination: virtual,
    destinationPort: 80,
    protocol: 'udp',
  });
  const controlBuffer = 48;
  const { context } = plane.plane.programs.program('explain').testRun({ data, context: new Uint8Array(192) });
  return decode(layouts.explanation, context, controlBuffer).place - 1;
}
