// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { ApiClient } from '../../../src/api/api-client.ts';
import { EventPoster } from '../../../src/api/event-poster.ts';

const event = {
  service: 'shop/web',
  uid: 'u-1',
  reason: 'AddressConflict',
  action: 'Plan',
  note: '10.96.0.1:80/tcp already belongs to shop/old',
};

const bodies: unknown[] = [];
let status = 201;
const server = createServer((request, response) => {
  let text = '';
  request.on('data', (chunk) => {
    text += chunk;
  });
  request.on('end', () => {
    bodies.push([request.method, request.url, JSON.parse(text)]);
    response.writeHead(status).end('{}');
  });
});
before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
after(() => server.close());

function poster(now: () => number, failures: string[] = []): EventPoster {
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const client = new ApiClient({ url, requestOptions: async () => ({}) });
  return new EventPoster(client, 'node1', ({ message }) => failures.push(message), now);
}

test('an event names the Service, who says it and why', async () => {
  bodies.length = 0;
  using events = poster(() => Date.UTC(2026, 0, 2));
  await events.warn(event);
  const [[, , body]] = bodies as [[unknown, unknown, { metadata: { name: string } }]];
  const { name } = body.metadata;
  assert.match(name, /^web\.19b7[0-9a-f]{15}$/);
  assert.deepEqual(bodies, [
    [
      'POST',
      '/apis/events.k8s.io/v1/namespaces/shop/events',
      {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name, namespace: 'shop' },
        eventTime: '2026-01-02T00:00:00.000000Z',
        reportingController: 'kube-proxy',
        reportingInstance: 'kube-proxy-node1',
        type: 'Warning',
        reason: 'AddressConflict',
        action: 'Plan',
        note: '10.96.0.1:80/tcp already belongs to shop/old',
        regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web', uid: 'u-1' },
      },
    ],
  ]);
});

test('25 events go at once, the next after 12 seconds', async () => {
  bodies.length = 0;
  let nowMs = 0;
  using events = poster(() => nowMs);
  for (let i = 0; i < 30; i++) await events.warn(event);
  assert.equal(bodies.length, 25);
  nowMs = 12_000;
  for (let i = 0; i < 3; i++) await events.warn(event);
  assert.equal(bodies.length, 26);
});

test('one that is refused is told, and is no error', async () => {
  status = 403;
  const failures: string[] = [];
  using events = poster(() => 0, failures);
  await events.warn(event);
  assert.match(failures.join(), /answered 403/);
});
