// SPDX-License-Identifier: Apache-2.0
// The servers, asked by real HTTP.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { Family } from '../../../src/model/address.ts';
import { closeServer, listen, PersistentServer } from '../../../src/server/http-listener.ts';
import { proxyHealthHandler } from '../../../src/server/proxy-health.ts';
import { type HealthCheck, ServiceHealthServers } from '../../../src/server/service-health.ts';
import { statusHandler } from '../../../src/server/status-pages.ts';
import { SyncHealth } from '../../../src/server/sync-health.ts';
import { freePort, get } from '../../lib/http.ts';
import { until } from '../../lib/until.ts';

const retry = () => true;
const node = { isBeingDeleted: false, taints: [] as string[] };

test('the health server answers /healthz, /livez and nothing else, to both families', async () => {
  const health = new SyncHealth(60_000);
  health.updated(4);
  const counted: string[] = [];
  let current: typeof node | undefined = node;
  const handler = proxyHealthHandler(
    health,
    () => current,
    (path, status) => counted.push(`${path} ${status}`),
  );
  const endpoint = { address: '0.0.0.0', port: await freePort() };
  await using _server = await PersistentServer.open({ endpoint, handler, failed: retry });
  const healthy = await get(endpoint.port, '/healthz');
  assert.equal(healthy.status, 200);
  assert.equal(healthy.headers['content-type'], 'application/json');
  assert.equal(healthy.headers['x-content-type-options'], 'nosniff');
  assert.match(healthy.body, /^\{"lastUpdated":"20.*"nodeEligible":true,"healthy":true,"status":\{"IPv4":/);
  assert.equal((await get(endpoint.port, '/livez?x', { host: '::1' })).status, 200);
  assert.equal((await get(endpoint.port, '/')).status, 404);
  current = undefined;
  assert.equal((await get(endpoint.port, '/healthz')).status, 503);
  assert.equal((await get(endpoint.port, '/livez')).status, 200);
  assert.deepEqual(counted, ['/healthz 200', '/livez 200', '/healthz 503', '/livez 200']);
});

test('the metrics server answers the mode without a line end, and the effective configuration', async () => {
  const configuration = { apiVersion: 'a', kind: 'b', mode: 'ipvs' };
  const handler = statusHandler({ mode: 'ipvs', configuration });
  const endpoint = { address: '127.0.0.1', port: await freePort() };
  await using _server = await PersistentServer.open({ endpoint, handler, failed: retry });
  const mode = await get(endpoint.port, '/proxyMode');
  assert.equal(mode.body, 'ipvs');
  assert.equal(mode.headers['content-type'], 'text/plain; charset=utf-8');
  assert.equal((await get(endpoint.port, '/healthz')).body, 'ok');
  const configz = await get(endpoint.port, '/configz');
  assert.deepEqual(JSON.parse(configz.body), { 'kubeproxy.config.k8s.io': configuration });
  assert.equal((await get(endpoint.port, '/other')).status, 404);
  await assert.rejects(get(endpoint.port, '/healthz', { host: '::1' }), { code: 'ECONNREFUSED' });
});

test('a port in use is tried again until it is free', async () => {
  const port = await freePort();
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  const errors: string[] = [];
  const { promise: failedTwice, resolve } = Promise.withResolvers<void>();
  await using server = await PersistentServer.open({
    endpoint: { address: '127.0.0.1', port },
    handler: statusHandler({ mode: 'ipvs', configuration: {} }),
    failed: ({ message }) => {
      if (errors.push(message) === 2) resolve();
      return true;
    },
    retryMs: 5,
  });
  assert.equal(server.isListening, false);
  const alive = setInterval(() => {}, 1000);
  await failedTwice;
  other.close();
  await once(other, 'close');
  for (;;) {
    const body = await get(port, '/proxyMode').then(
      (answer) => answer.body,
      () => undefined,
    );
    if (body === 'ipvs') break;
  }
  clearInterval(alive);
  assert.match(errors[0] ?? '', /EADDRINUSE/);
});

test('a port in use is not tried again where that is fatal', async () => {
  const port = await freePort();
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  let attempts = 0;
  await using server = await PersistentServer.open({
    endpoint: { address: '127.0.0.1', port },
    handler: () => {},
    failed: () => {
      attempts++;
      return false;
    },
    retryMs: 1,
  });
  other.close();
  await once(other, 'close');
  assert.equal(server.isListening, false);
  assert.equal(attempts, 1);
});

test('a client that cannot be accepted is told, and the server goes on', async () => {
  const port = await freePort();
  const told: string[] = [];
  const handler = statusHandler({ mode: 'ipvs', configuration: {} });
  const server = await listen({ address: '127.0.0.1', port }, handler, ({ message }) => told.push(message));
  server.emit('error', new Error('accept EMFILE'));
  assert.deepEqual(told, ['accept EMFILE']);
  assert.equal((await get(port, '/proxyMode')).status, 200);
  await closeServer(server);
});

const everywhere = new Map<Family, readonly string[]>();

function servers(isHealthy = () => true, retryMs = 3_600_000) {
  const failures: string[] = [];
  const all = new ServiceHealthServers({
    isProxyHealthy: isHealthy,
    failed: ({ service }, { message }) => failures.push(`${service}: ${message}`),
    retryMs,
  });
  return { all, failures };
}

const web = (port: number, localReadyEndpoints: number, family: Family = 4): HealthCheck => ({
  service: 'default/web',
  family,
  port,
  localReadyEndpoints,
});

test('a health check node port tells the local endpoints as kube-proxy does, to any method and path', async () => {
  const { all } = servers();
  await using _ = all;
  const port = await freePort();
  await all.set([web(port, 2)], everywhere);
  const answer = await get(port, '/any/thing', { method: 'POST' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers['x-load-balancing-endpoint-weight'], '2');
  assert.equal(
    answer.body,
    '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
  );
  await all.set([web(port, 0)], everywhere);
  const none = await get(port, '/');
  assert.equal(none.status, 503);
  assert.equal(none.headers['x-load-balancing-endpoint-weight'], '0');
});

test('a health check node port is 503 while the proxy is unhealthy, whatever there is', async () => {
  let isHealthy = true;
  const { all } = servers(() => isHealthy);
  await using _ = all;
  const port = await freePort();
  await all.set([web(port, 1)], everywhere);
  isHealthy = false;
  const answer = await get(port, '/');
  assert.equal(answer.status, 503);
  assert.match(answer.body, /"serviceProxyHealthy": false/);
});

test('each family of a health check node port has a listener of its own', async () => {
  const { all } = servers();
  await using _ = all;
  const port = await freePort();
  await all.set([web(port, 1, 4), web(port, 3, 6)], everywhere);
  assert.match((await get(port, '/')).body, /"localEndpoints": 1,/);
  assert.match((await get(port, '/', { host: '::1' })).body, /"localEndpoints": 3,/);
  await all.set([web(port, 1, 4)], everywhere);
  await assert.rejects(get(port, '/', { host: '::1' }), { code: 'ECONNREFUSED' });
});

test('a health check node port listens at the given addresses only, and follows them', async () => {
  const { all } = servers();
  await using _ = all;
  const port = await freePort();
  await all.set([web(port, 1)], new Map([[4, ['127.0.0.2']]]));
  assert.equal((await get(port, '/', { host: '127.0.0.2' })).status, 200);
  await assert.rejects(get(port, '/'), { code: 'ECONNREFUSED' });
  await all.set([web(port, 1)], new Map([[4, ['127.0.0.1', '127.0.0.3']]]));
  assert.equal((await get(port, '/')).status, 200);
  assert.equal((await get(port, '/', { host: '127.0.0.3' })).status, 200);
  await assert.rejects(get(port, '/', { host: '127.0.0.2' }), { code: 'ECONNREFUSED' });
});

test('a health check node port that moves leaves its old port, and one that goes closes', async () => {
  const { all } = servers();
  await using _ = all;
  const [before, after] = [await freePort(), await freePort()];
  await all.set([web(before, 1)], everywhere);
  await all.set([web(after, 1)], everywhere);
  await assert.rejects(get(before, '/'), { code: 'ECONNREFUSED' });
  assert.equal((await get(after, '/')).status, 200);
  await all.set([], everywhere);
  await assert.rejects(get(after, '/'), { code: 'ECONNREFUSED' });
});

test('a health check node port in use is told, and opened at a later call; others open meanwhile', async () => {
  const { all, failures } = servers();
  await using _ = all;
  const [port, second] = [await freePort(), await freePort()];
  const other = createServer().listen(port, '0.0.0.0');
  await once(other, 'listening');
  const checks = [web(port, 1), { ...web(second, 1), service: 'default/other' }];
  await all.set(checks, everywhere);
  assert.equal(failures.length, 1);
  assert.match(failures[0] ?? '', /^default\/web: .*EADDRINUSE/);
  assert.equal((await get(second, '/')).status, 200);
  other.close();
  await once(other, 'close');
  await all.set(checks, everywhere);
  assert.equal((await get(port, '/')).status, 200);
  assert.equal(failures.length, 1);
});

test('a health check node port in use is tried again by itself until it is free, and told once', async () => {
  const { all, failures } = servers(() => true, 5);
  await using _ = all;
  const port = await freePort();
  const other = createServer().listen(port, '0.0.0.0');
  await once(other, 'listening');
  await all.set([web(port, 1)], everywhere);
  await all.set([web(port, 2)], everywhere);
  other.close();
  await once(other, 'close');
  const body = await until(
    () =>
      get(port, '/').then(
        (answer) => answer.body,
        () => '',
      ),
    (found) => found !== '',
    60_000,
  );
  assert.match(body, /"localEndpoints": 2,/);
  assert.equal(failures.length, 1);
});
