// SPDX-License-Identifier: Apache-2.0
// A copy of an API server's objects, through everything that goes wrong between it and its copy.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { ApiClient } from '../../src/api/api-client.ts';
import { findApiServer } from '../../src/api/kube-config.ts';
import { defaultSettings, Reflector, type ReflectorSettings } from '../../src/api/reflector.ts';
import type { RawObject } from '../../src/api/resource.ts';
import { Cluster, proxyToken } from '../lib/cluster/cluster.ts';
import { FaultProxy } from '../lib/cluster/fault-proxy.ts';
import { missingForCluster } from '../lib/cluster/programs.ts';
import { until } from '../lib/until.ts';

const path = '/api/v1/services';
const resource = {
  path,
  apiVersion: 'v1',
  kind: 'Service',
  selectors: { labelSelector: '!service.kubernetes.io/service-proxy-name' },
};

/** The port, which tests change, stands for the state of a Service; a port of 666 cannot be used. */
function readPort({ document }: RawObject): number | undefined {
  const { ports } = document.spec as { readonly ports: readonly { readonly port: number }[] };
  return ports[0]?.port === 666 ? undefined : ports[0]?.port;
}

/** A reflector of Services behind a proxy, with all that it told. */
class Copy implements AsyncDisposable {
  readonly objects = new Map<string, number>();
  readonly told: string[] = [];
  readonly problems: string[] = [];
  isSynced = false;
  recoveries = 0;
  readonly #reflector: Reflector<number>;

  constructor(client: ApiClient, settings: Partial<ReflectorSettings>) {
    this.#reflector = new Reflector(
      client,
      resource,
      readPort,
      {
        changed: (key, port) => {
          this.told.push(`${key} ${port ?? 'gone'}`);
          if (port === undefined) this.objects.delete(key);
          else this.objects.set(key, port);
        },
        synced: () => {
          this.isSynced = true;
        },
        problem: (message) => this.problems.push(message),
        recovered: () => {
          this.recoveries++;
        },
      },
      { ...defaultSettings, retryMs: 50, ...settings },
    );
  }

  async synced(): Promise<this> {
    assert.ok(await until(() => this.isSynced, Boolean), 'the first list is told');
    return this;
  }

  async has(name: string, port: number | undefined, timeoutMs = 20_000): Promise<void> {
    const key = `default/${name}`;
    assert.equal(
      await until(
        () => this.objects.get(key),
        (found) => found === port,
        timeoutMs,
      ),
      port,
      key,
    );
  }

  async failed(pattern: RegExp): Promise<void> {
    const found = await until(() => this.problems.some((problem) => pattern.test(problem)), Boolean);
    assert.ok(found, `${pattern} in ${this.problems.join('; ')}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#reflector.close();
  }
}

suite('a copy of the API server', { skip: missingForCluster() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let cluster: Cluster;
  let proxy: FaultProxy;
  let client: ApiClient;

  before(async () => {
    cluster = resources.use(await Cluster.start({ hasControllers: false }));
    proxy = resources.use(await FaultProxy.start(cluster));
    const kubeconfig = cluster.writeKubeconfig('through-proxy', { token: proxyToken }, proxy.url);
    client = new ApiClient(await findApiServer({ kubeconfig }));
    await serve({ web: 80, dns: 53, db: 5432 });
  });
  after(() => resources.disposeAsync());
  afterEach(() => {
    proxy.fault = () => undefined;
    proxy.freeze(false);
  });

  async function serve(services: Readonly<Record<string, number>>): Promise<void> {
    const objects = Object.entries(services).map(([name, port]) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { ports: [{ port }] },
    }));
    await cluster.kubectl(
      ['apply', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
    );
  }

  function remove(name: string): Promise<string> {
    return cluster.kubectl(['delete', 'service', name]);
  }

  function copy(settings: Partial<ReflectorSettings> = {}): Copy {
    proxy.seen.length = 0;
    return new Copy(client, settings);
  }

  const lists = () => proxy.seen.filter(({ isWatch }) => !isWatch).length;
  const watching = () =>
    until(
      () => proxy.watches,
      (count) => count === 1,
    );

  test('everything there is comes first, then each change, once', async () => {
    await using services = await copy().synced();
    const first = ['default/db 5432', 'default/dns 53', 'default/kubernetes 443', 'default/web 80'];
    assert.deepEqual(services.told.splice(0).sort(), first);
    await serve({ web: 81 });
    await services.has('web', 81);
    await serve({ one: 1001 });
    await services.has('one', 1001);
    await remove('one');
    await services.has('one', undefined);
    await cluster.kubectl(['label', 'service', 'web', 'service.kubernetes.io/service-proxy-name=other']);
    await services.has('web', undefined);
    await cluster.kubectl(['label', 'service', 'web', 'service.kubernetes.io/service-proxy-name-']);
    await services.has('web', 81);
    const changes = ['web 81', 'one 1001', 'one gone', 'web gone', 'web 81'].map((each) => `default/${each}`);
    assert.deepEqual(services.told, changes);
  });

  test('an object that cannot be used stays as it was', async () => {
    await serve({ odd: 1 });
    await using services = await copy().synced();
    await serve({ odd: 666, other: 2 });
    await services.has('other', 2);
    assert.equal(services.objects.get('default/odd'), 1);
    await Promise.all([remove('odd'), remove('other')]);
    await services.has('odd', undefined);
  });

  test('nothing is told before the server has answered in full', async () => {
    let refusals = 0;
    proxy.fault = ({ isWatch }) => {
      if (isWatch || refusals++ >= 3) return undefined;
      return refusals === 1 ? { do: 'reset' } : { do: 'answer', status: 503, body: 'not yet' };
    };
    await using services = copy();
    await services.failed(/answered 503/);
    assert.deepEqual(services.told, []);
    await services.synced();
    assert.equal(services.recoveries, 1);
  });

  test('a list comes in pages, and once more in one piece where a page has expired', async () => {
    proxy.fault = ({ query }) =>
      query.has('continue') && lists() === 2
        ? { do: 'answer', status: 410, body: JSON.stringify({ reason: 'Expired', message: 'too old' }) }
        : undefined;
    await using services = await copy({ pageSize: 3 }).synced();
    const seen = proxy.seen.filter(({ isWatch }) => !isWatch);
    assert.deepEqual(
      seen.map(({ query }) => [query.get('limit'), query.has('continue')]),
      [
        ['3', false],
        ['3', true],
        [null, false],
      ],
    );
    assert.equal(services.objects.size, 4);
    proxy.fault = () => undefined;
    await using again = await copy({ pageSize: 3 }).synced();
    assert.equal(lists(), 2);
    assert.deepEqual(again.objects, services.objects);
  });

  test('after a lost connection the watch goes on where it was, without a list, and nothing is missed or told twice', async () => {
    await using services = await copy({ retryMs: 2000 }).synced();
    await watching();
    services.told.length = 0;
    proxy.cut();
    await serve({ missed: 7 });
    await remove('db');
    await services.has('missed', 7);
    await services.has('db', undefined);
    assert.deepEqual(services.told, ['default/missed 7', 'default/db gone']);
    assert.equal(lists(), 1);
    assert.equal(services.recoveries, 1);
    await serve({ db: 5432 });
    await remove('missed');
  });

  test('a second watch in a row that fails without an event leads to a list', async () => {
    await using services = await copy().synced();
    await watching();
    services.told.length = 0;
    let resets = 0;
    proxy.fault = ({ isWatch }) => (isWatch && resets++ === 0 ? { do: 'reset' } : undefined);
    proxy.cut();
    assert.equal(await until(lists, (count) => count === 2), 2);
    await watching();
    assert.deepEqual(services.told, []);
  });

  test('a version that the server has forgotten leads to a list, which tells only what is different', async () => {
    await using services = await copy().synced();
    await watching();
    services.told.length = 0;
    let isForgotten = true;
    proxy.fault = ({ isWatch }) => {
      if (!isWatch || !isForgotten) return undefined;
      isForgotten = false;
      const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      return { do: 'answer', status: 200, body: `${JSON.stringify({ type: 'ERROR', object: status })}\n` };
    };
    await serve({ fresh: 9 });
    await services.has('fresh', 9);
    services.told.length = 0;
    await Promise.all([serve({ fresh: 10 }), remove('dns')]);
    await services.has('fresh', 10);
    await services.has('dns', undefined);
    services.told.length = 0;
    isForgotten = true;
    proxy.cut();
    await until(lists, (count) => count === 2);
    await serve({ dns: 53 });
    await services.has('dns', 53);
    assert.deepEqual(services.told, ['default/dns 53']);
    await remove('fresh');
  });

  test('429 is obeyed for as long as Retry-After says', async () => {
    const busy = { do: 'answer', status: 429, body: '{}', headers: { 'retry-after': '3' } } as const;
    proxy.fault = () => (proxy.seen.length === 1 ? busy : undefined);
    await using services = await copy().synced();
    const [first = 0, second = 0] = proxy.seen.map(({ atMs }) => atMs);
    assert.ok(second - first >= 3000, `${second - first} ms`);
    assert.equal(services.problems.length, 1);
  });

  test('a watch that stalls is given up, and a list tells what happened', async () => {
    await using services = await copy({ watchSilenceMs: 1000 }).synced();
    await watching();
    proxy.freeze(true);
    await serve({ stalled: 11 });
    await services.failed(/no answer for 1 s/);
    assert.ok(!services.objects.has('default/stalled'));
    proxy.freeze(false);
    await services.has('stalled', 11);
    assert.ok(lists() >= 2); // a slow machine may stall once more
    await remove('stalled');
  });

  test('a server that accepts and never answers is given up', async () => {
    let hasHung = false;
    proxy.fault = ({ isWatch }) => {
      if (isWatch || hasHung) return undefined;
      hasHung = true;
      return { do: 'hang' };
    };
    await using services = await copy({ silenceMs: 500 }).synced();
    assert.match(services.problems.join(), /no answer for 0.5 s/);
  });

  const emptyList = { kind: 'ServiceList', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items: [] };
  const wrongs: readonly (readonly [string, Parameters<typeof failList>[0]])[] = [
    ['403', { do: 'answer', status: 403, body: '{"message":"no"}' }],
    ['a list that is cut off', { do: 'truncate', bytes: 300 }],
    ['an empty object', { do: 'answer', status: 200, body: '{}' }],
    ['a page of HTML', { do: 'answer', status: 200, body: '<html>Please sign in</html>' }],
    [
      'another kind of list',
      { do: 'rewrite', rewrite: (body) => body.replace('"ServiceList"', '"PodList"') },
    ],
    ['a list without items', { do: 'rewrite', rewrite: (body) => body.replace('"items"', '"itemz"') }],
    ['an older, empty list', { do: 'answer', status: 200, body: JSON.stringify(emptyList) }],
  ];
  function failList(fault: Exclude<ReturnType<FaultProxy['fault']>, undefined>): void {
    const expired = { type: 'ERROR', object: { code: 410, reason: 'Expired', message: 'too old' } };
    proxy.fault = ({ isWatch }) =>
      isWatch ? { do: 'answer', status: 200, body: `${JSON.stringify(expired)}\n` } : fault;
    proxy.cut();
  }
  for (const [what, fault] of wrongs) {
    test(`${what} in place of a list deletes nothing`, async () => {
      await using services = await copy().synced();
      await watching();
      services.told.length = 0;
      failList(fault);
      await until(
        () => services.problems.length,
        (count) => count >= 2,
      );
      assert.deepEqual(services.told, []);
      proxy.fault = () => undefined;
      await until(
        () => services.recoveries,
        (count) => count > 0,
      );
      assert.deepEqual(services.told, []);
    });
  }

  test('an older list is believed when it has been told for long enough', async () => {
    await using services = await copy({ staleMs: 2000 }).synced();
    await watching();
    failList({ do: 'answer', status: 200, body: JSON.stringify(emptyList) });
    await services.failed(/older than .* not believed yet/);
    assert.notEqual(services.objects.size, 0);
    assert.equal(
      await until(
        () => services.objects.size,
        (size) => size === 0,
      ),
      0,
    );
  });

  test('an event that is older than what is known changes nothing', async () => {
    await using services = await copy().synced();
    await watching();
    services.told.length = 0;
    const object = {
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default', resourceVersion: '2' },
      spec: { ports: [{ port: 8 }] },
    };
    proxy.inject({ type: 'DELETED', object });
    proxy.inject({ type: 'MODIFIED', object });
    await serve({ after: 12 });
    await services.has('after', 12);
    assert.deepEqual(services.told, ['default/after 12']);
    await remove('after');
  });

  test('a bookmark moves the version from which a watch goes on', async () => {
    await using _services = await copy().synced();
    await watching();
    const object = { kind: 'Service', metadata: { resourceVersion: '1000000' } };
    proxy.inject({ type: 'BOOKMARK', object });
    await setTimeout(200);
    proxy.fault = () => ({ do: 'reset' });
    proxy.cut();
    const resumed = await until(
      () => proxy.seen.findLast(({ isWatch }) => isWatch)?.query.get('resourceVersion'),
      (version) => version === '1000000',
    );
    assert.equal(resumed, '1000000');
  });

  test('while the API server is away everything stays, and what happened meanwhile is learnt after', async () => {
    await serve({ doomed: 14 });
    await using services = await copy().synced();
    await watching();
    services.told.length = 0;
    await cluster.component('kube-apiserver').end();
    await services.failed(/ECONNREFUSED|ECONNRESET|hang up|aborted/);
    await setTimeout(2000);
    assert.deepEqual(services.told, []);
    await cluster.startApiServer();
    await remove('doomed');
    await services.has('doomed', undefined);
    await serve({ doomed: 15 });
    await services.has('doomed', 15);
    await remove('doomed');
  });
});
