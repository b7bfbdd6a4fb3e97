// SPDX-License-Identifier: Apache-2.0
// Beside programs that others have attached to the same devices.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { wirings } from '../lib/cni.ts';
import { mustRun } from '../lib/command.ts';
import { FlowLab, families } from '../lib/flows.ts';
import type { Host } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';

const attach = fileURLToPath(new URL('foreign/attach.ts', import.meta.url));
const source = fileURLToPath(new URL('foreign/count.bpf.c', import.meta.url));

interface Counts {
  readonly ingress: number;
  readonly egress: number;
}

/** Programs of somebody else at devices of a machine. */
interface Foreign extends AsyncDisposable {
  counts(): Promise<Counts>;
}

suite('beside foreign programs', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let object: string;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bpvs-foreign-'));
    resources.defer(() => rmSync(folder, { recursive: true }));
    object = join(folder, 'count.bpf.o');
    const includes = `-I/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
    await mustRun(['clang-19', '-O2', '-g', '-target', 'bpf', includes, '-c', source, '-o', object]);
  });
  after(() => resources.disposeAsync());

  /** @param hook "tcx", or the priority of a classifier */
  async function attachForeign(host: Host, hook: string, devices: readonly string[]): Promise<Foreign> {
    const child = host.spawn([process.execPath, attach, object, hook, ...devices]);
    const lines = createInterface({ input: child.stdout });
    const said: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => said.push(chunk));
    const closed = once(child, 'close');
    const ended = closed.then(() => assert.fail(said.join('')));
    ended.catch(() => {});
    await Promise.race([once(lines, 'line'), ended]);
    return {
      async counts() {
        child.stdin.write('\n');
        return JSON.parse((await Promise.race([once(lines, 'line'), ended]))[0]);
      },
      async [Symbol.asyncDispose]() {
        child.kill();
        await closed;
      },
    };
  }

  function assertMore(now: Counts, before: Counts, title: string): void {
    assert.ok(now.ingress > before.ingress && now.egress > before.egress, title);
  }

  for (const cni of wirings) {
    for (const hook of ['tcx', 'clsact'] as const) {
      test(`${cni} ${hook}: programs before and behind ours go on seeing packets, and stay when ours go`, async () => {
        await using flows = await FlowLab.start(await Lab.create({ name: `test-foreign-${cni}`, cni }));
        const [node] = flows.lab.nodes;
        const devices = [node.uplink, flows.pod.hostDevice, flows.here.hostDevice];
        const [first, second] = hook === 'tcx' ? ['tcx', 'tcx'] : ['1', '65000'];
        await using agent = flows.agent();
        await using before = await attachForeign(node, first, devices);
        await agent.start('--attach', hook);
        await using behind = await attachForeign(node, second, devices);
        for (const family of families) {
          const seen = [await before.counts(), await behind.counts()] as const;
          await flows.check(agent, family);
          assertMore(await before.counts(), seen[0], `${family} before`);
          assertMore(await behind.counts(), seen[1], `${family} behind`);
        }
        await agent.stop();
        assert.equal((await agent.command('cleanup')).code, 0);
        const seen = [await before.counts(), await behind.counts()] as const;
        const { pod, here } = flows;
        for (const host of [pod, flows.lab.client])
          await host.mustRun(['ping', '-c', '1', '-W', '2', here.addresses.v4]);
        assertMore(await before.counts(), seen[0], 'before, without ours');
        assertMore(await behind.counts(), seen[1], 'behind, without ours');
      });
    }
  }

  for (const hook of ['tcx', 'clsact'] as const) {
    test(`${hook}: a classifier of another tool stays as it is while ours come and go`, async () => {
      await using flows = await FlowLab.start(await Lab.create({ name: 'test-foreign-tc', cni: 'ptp' }));
      const [node] = flows.lab.nodes;
      const { hostDevice } = flows.pod;
      const tc = (...words: readonly string[]) => node.mustRun(['tc', ...words]);
      await tc('qdisc', 'add', 'dev', hostDevice, 'clsact');
      const bpf = ['bpf', 'direct-action', 'object-file', object, 'section', 'tc'];
      await tc('filter', 'add', 'dev', hostDevice, 'ingress', 'priority', '7', 'protocol', 'ip', ...bpf);
      const show = () => tc('filter', 'show', 'dev', hostDevice, 'ingress', 'priority', '7');
      const before = await show();
      assert.match(before, /bpf .*handle 0x1 /);
      await using agent = flows.agent();
      await agent.start('--attach', hook);
      for (const family of families) await flows.check(agent, family);
      assert.equal(await show(), before);
      await agent.stop();
      assert.equal((await agent.command('cleanup')).code, 0);
      assert.equal(await show(), before);
    });
  }
});
