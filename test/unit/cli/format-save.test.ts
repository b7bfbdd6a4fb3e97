// SPDX-License-Identifier: Apache-2.0
// The lines of ipvsadm -S -n where recordings of kube-proxy have no example.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSave } from '../../../src/cli/format-save.ts';
import type {
  AddressService,
  Destination,
  ForwardingMethod,
  VirtualService,
} from '../../../src/model/virtual-service.ts';

const destination = (port: number, forwarding: ForwardingMethod): Destination => ({
  address: '10.244.1.2',
  port,
  weight: 3,
  forwarding,
});
const service = (changes: Partial<AddressService>): VirtualService => ({
  protocol: 'tcp',
  address: '10.96.0.80',
  port: 80,
  scheduler: 'rr',
  schedulerFlags: [],
  noDestination: 'drop',
  destinations: [],
  ...changes,
});

test('services are sorted by the text after -A, destinations by the text after -r', () => {
  const methods = [destination(82, 'droute'), destination(9, 'tunnel'), destination(80, 'masq')];
  const services = [
    service({ protocol: 'udp' }),
    service({ address: '10.96.0.9' }),
    service({ destinations: methods }),
    service({ protocol: 'sctp', address: 'fd00::1' }),
  ];
  assert.deepEqual(formatSave(services), [
    '-A --sctp-service [fd00::1]:80 -s rr',
    '-A -t 10.96.0.80:80 -s rr',
    '-a -t 10.96.0.80:80 -r 10.244.1.2:80 -m -w 3',
    '-a -t 10.96.0.80:80 -r 10.244.1.2:82 -g -w 3',
    '-a -t 10.96.0.80:80 -r 10.244.1.2:9 -i -w 3',
    '-A -t 10.96.0.9:80 -s rr',
    '-A -u 10.96.0.80:80 -s rr',
  ]);
});

test('scheduler flags are joined in the order of their bits', () => {
  assert.deepEqual(formatSave([service({ scheduler: 'sh', schedulerFlags: ['flag-2', 'flag-1'] })]), [
    '-A -t 10.96.0.80:80 -s sh -b sh-fallback,sh-port',
  ]);
});
