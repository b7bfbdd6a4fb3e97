// SPDX-License-Identifier: Apache-2.0
// The operations that diff finds, carried out one by one on a model that is as strict as the kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatOperation } from '../../../src/cli/format-save.ts';
import type { Operation } from '../../../src/model/operation.ts';
import {
  type AddressService,
  type Destination,
  destinationId,
  type VirtualService,
  virtualServiceId,
} from '../../../src/model/virtual-service.ts';
import { diff } from '../../../src/reconcile/diff.ts';
import { podFour, podOne, podThree, podTwo, serviceDns, serviceWeb } from '../../lib/cast.ts';

const destination = (address: string, weight = 1): Destination => ({
  address,
  port: 8080,
  weight,
  forwarding: 'masq',
});

const web = (...destinations: Destination[]): AddressService => ({
  protocol: 'tcp',
  address: serviceWeb.v4,
  port: serviceWeb.port,
  scheduler: 'rr',
  schedulerFlags: [],
  noDestination: 'reject',
  destinations,
});
const dns: AddressService = {
  ...web(destination(podFour.v4)),
  protocol: 'udp',
  address: serviceDns.v4,
  port: 53,
};

const printed = (desired: readonly VirtualService[], actual: readonly VirtualService[]) =>
  diff(desired, actual).map(formatOperation);

test('a new service gets its destinations right after it', () => {
  assert.deepEqual(printed([web(destination(podOne.v4), destination(podTwo.v4)), dns], []), [
    '-A -t 10.96.0.80:80 -s rr',
    '-a -t 10.96.0.80:80 -r 10.244.1.2:8080 -m -w 1',
    '-a -t 10.96.0.80:80 -r 10.244.1.3:8080 -m -w 1',
    '-A -u 10.96.0.10:53 -s rr',
    '-a -u 10.96.0.10:53 -r 10.244.2.2:8080 -m -w 1',
  ]);
});

test('a service that goes takes its destinations along, after all else', () => {
  assert.deepEqual(printed([web(destination(podOne.v4))], [dns]), [
    '-A -t 10.96.0.80:80 -s rr',
    '-a -t 10.96.0.80:80 -r 10.244.1.2:8080 -m -w 1',
    '-D -u 10.96.0.10:53',
  ]);
});

test('a destination that is replaced goes after its successor has come', () => {
  assert.deepEqual(printed([web(destination(podTwo.v4))], [web(destination(podOne.v4))]), [
    '-a -t 10.96.0.80:80 -r 10.244.1.3:8080 -m -w 1',
    '-d -t 10.96.0.80:80 -r 10.244.1.2:8080',
  ]);
});

test('weight, forwarding method, scheduler and flags are edited in place, weights above 0 first', () => {
  const actual = web(destination(podOne.v4), destination(podTwo.v4, 0), destination(podThree.v4));
  const desired: VirtualService = {
    ...web(destination(podOne.v4, 0), destination(podTwo.v4), {
      ...destination(podThree.v4),
      forwarding: 'droute',
    }),
    scheduler: 'mh',
    schedulerFlags: ['flag-2'],
  };
  assert.deepEqual(printed([desired], [actual]), [
    '-E -t 10.96.0.80:80 -s mh -b mh-port',
    '-e -t 10.96.0.80:80 -r 10.244.1.3:8080 -m -w 1',
    '-e -t 10.96.0.80:80 -r 10.244.1.4:8080 -g -w 1',
    '-e -t 10.96.0.80:80 -r 10.244.1.2:8080 -m -w 0',
  ]);
});

test('what a service without destinations answers is edited in place', () => {
  const operations = diff([{ ...web(), noDestination: 'drop' }], [web()]);
  assert.deepEqual(
    operations.map((operation) => operation.do),
    ['edit-service'],
  );
});

test('operations carry nothing of what the actual state knows besides', () => {
  const status = {
    ...dns,
    statistics: 1,
    destinations: [{ ...destination(podFour.v4), activeConnections: 2 }],
  };
  assert.deepEqual(diff([{ ...dns, destinations: [] }], [status]), [
    {
      do: 'delete-destination',
      service: { protocol: 'udp', address: serviceDns.v4, port: 53 },
      destination: { address: podFour.v4, port: 8080 },
    },
  ]);
});

/** Carries one operation out, as strictly as the kernel. */
function apply(services: Map<string, VirtualService>, operation: Operation): void {
  const id = virtualServiceId(operation.service);
  const service = services.get(id);
  if (operation.do === 'add-service') {
    assert.equal(service, undefined, 'EEXIST');
    services.set(id, { ...operation.service, destinations: [] });
    return;
  }
  assert.ok(service, 'ESRCH');
  if (operation.do === 'delete-service') {
    services.delete(id);
  } else if (operation.do === 'edit-service') {
    services.set(id, { ...operation.service, destinations: service.destinations });
  } else {
    services.set(id, { ...service, destinations: applied(service.destinations, operation) });
  }
}

function applied(
  list: readonly Destination[],
  operation: Extract<Operation, { destination: unknown }>,
): readonly Destination[] {
  const id = destinationId(operation.destination);
  assert.equal(
    list.some((each) => destinationId(each) === id),
    operation.do !== 'add-destination',
    'EEXIST or ENOENT',
  );
  if (operation.do === 'add-destination') return [...list, operation.destination];
  if (operation.do === 'delete-destination') return list.filter((each) => destinationId(each) !== id);
  return list.map((each) => (destinationId(each) === id ? operation.destination : each));
}

const plain = { noNullPrototype: true };
const anyDestination = fc.record(
  {
    address: fc.constantFrom(podOne.v4, podTwo.v4, podThree.v4, podFour.v4),
    port: fc.constantFrom(8080, 8081),
    weight: fc.constantFrom(0, 1, 1, 7),
    forwarding: fc.constantFrom('masq' as const, 'droute' as const),
  },
  plain,
);
const anyService = fc.record(
  {
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    address: fc.constantFrom(serviceWeb.v4, serviceDns.v4, serviceWeb.v6),
    port: fc.constantFrom(53, 80),
    scheduler: fc.constantFrom('rr' as const, 'sh' as const),
    schedulerFlags: fc.constantFrom([], ['flag-2' as const]),
    noDestination: fc.constantFrom('reject' as const, 'drop' as const),
    destinations: fc.uniqueArray(anyDestination, { selector: destinationId, maxLength: 6 }),
  },
  plain,
);
const anyState: fc.Arbitrary<VirtualService[]> = fc.uniqueArray(anyService, {
  selector: virtualServiceId,
  maxLength: 6,
});

const byId = (services: readonly VirtualService[]) =>
  new Map(services.map((each) => [virtualServiceId(each), each]));

/** The order of adding that the kernel ends with: those that stay where they were, then the new ones. */
function inKernelOrder(desired: VirtualService, actual: VirtualService | undefined): VirtualService {
  const place = (each: Destination) => {
    const index =
      actual?.destinations.findIndex((former) => destinationId(former) === destinationId(each)) ?? -1;
    return index === -1 ? Number.MAX_SAFE_INTEGER : index;
  };
  return { ...desired, destinations: desired.destinations.toSorted((a, b) => place(a) - place(b)) };
}

test('the operations, in their order, make the actual state into the desired one', () => {
  fc.assert(
    fc.property(anyState, anyState, (desired, actual) => {
      const services = byId(actual);
      for (const operation of diff(desired, actual)) apply(services, operation);
      const former = byId(actual);
      assert.deepEqual(
        services,
        byId(desired.map((each) => inKernelOrder(each, former.get(virtualServiceId(each))))),
      );
    }),
  );
});

test('a state that is as desired needs no operation, whatever the order of its lists', () => {
  fc.assert(
    fc.property(anyState, (state) => {
      const shuffled = state
        .toReversed()
        .map((each) => ({ ...each, destinations: each.destinations.toReversed() }));
      assert.deepEqual(diff(state, shuffled), []);
    }),
  );
});

test('a service that takes new connections before and after takes them at every moment between', () => {
  const isTaking = (service: VirtualService | undefined) =>
    service?.destinations.some((each) => each.weight > 0) ?? false;
  fc.assert(
    fc.property(anyState, anyState, (desired, actual) => {
      const services = byId(actual);
      const steady = desired.filter(
        (each) => isTaking(each) && isTaking(services.get(virtualServiceId(each))),
      );
      for (const operation of diff(desired, actual)) {
        apply(services, operation);
        for (const each of steady)
          assert.ok(isTaking(services.get(virtualServiceId(each))), formatOperation(operation));
      }
    }),
  );
});

test('a service that is new is complete before any other is touched', () => {
  fc.assert(
    fc.property(anyState, anyState, (desired, actual) => {
      const operations = diff(desired, actual);
      for (const [index, operation] of operations.entries()) {
        if (operation.do !== 'add-service') continue;
        const id = virtualServiceId(operation.service);
        const count = desired.find((each) => virtualServiceId(each) === id)?.destinations.length ?? 0;
        const next = operations.slice(index + 1, index + 1 + count);
        assert.ok(
          next.every((each) => each.do === 'add-destination' && virtualServiceId(each.service) === id),
        );
      }
    }),
  );
});
