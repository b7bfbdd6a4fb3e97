// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enums } from '../../../src/dataplane/bpf/layouts.ts';
import { ServiceKinds } from '../../../src/dataplane/bpf/service-kinds.ts';

const { SERVICES_OF_FTP, SERVICES_OF_ALL_PORTS, SERVICES_AT_DESTINATIONS } = enums.service_kind;
const shared = '10.0.0.1';
const other = '10.0.0.2';

const service = (address: string, port = 80) => ({ protocol: 'tcp', address, port }) as const;

function recorded(inherited = 0) {
  const written: number[] = [];
  return { written, kinds: new ServiceKinds(inherited, (all) => written.push(all)) };
}

test('kinds of services: each is there from its first service to its last', () => {
  const { written, kinds } = recorded();
  for (const port of [80, 21, 0, 21]) kinds.add(service(other, port));
  for (const port of [21, 0, 21, 80]) kinds.remove(service(other, port));
  const both = SERVICES_OF_FTP | SERVICES_OF_ALL_PORTS;
  assert.deepEqual(written, [SERVICES_OF_FTP, both, SERVICES_OF_FTP, 0]);
});

test('kinds of services: a virtual address that is a destination’s, whichever was there first, until either has gone', () => {
  const { written, kinds } = recorded();
  kinds.add(service(shared));
  kinds.addDestination(other);
  kinds.addDestination(shared);
  kinds.add(service(shared, 443));
  kinds.remove(service(shared));
  kinds.remove(service(shared, 443));
  kinds.addDestination(shared);
  kinds.add(service(shared));
  kinds.removeDestination(shared);
  kinds.removeDestination(shared);
  const there = SERVICES_AT_DESTINATIONS;
  assert.deepEqual(written, [there, 0, there, 0]);
});

test('kinds of services: those of an earlier process stay until all of its services are known', () => {
  const { written, kinds } = recorded(SERVICES_OF_FTP | SERVICES_AT_DESTINATIONS);
  kinds.addDestination(shared);
  kinds.add(service(shared));
  kinds.forgetInherited();
  assert.deepEqual(written, [SERVICES_AT_DESTINATIONS]);
});
