// SPDX-License-Identifier: Apache-2.0
// Two nodes joined by devices whose packets have no link header, as those of WireGuard and IPIP.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DualAddress, podRangeTwo } from './cast.ts';
import { mustRun } from './command.ts';
import type { Lab } from './lab.ts';

export const linklessDevice = 'tun0';

/** Of node one's device, as tunnels of CNI plugins have one: an address of the node's range of pods. */
export const linklessEnd: DualAddress = { v4: '10.244.1.0', v6: 'fd00:10:244:1::' };

const source = fileURLToPath(new URL('relay.c', import.meta.url));

/** Leads node one's routes to the pods of node two through such a device, and node two's back to that device's address. */
export class Relay implements AsyncDisposable {
  readonly #resources: AsyncDisposableStack;

  private constructor(resources: AsyncDisposableStack) {
    this.#resources = resources;
  }

  static async start(lab: Lab): Promise<Relay> {
    await using resources = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), 'bpvs-relay-'));
    resources.defer(() => rmSync(folder, { recursive: true }));
    const program = join(folder, 'relay');
    await mustRun(['clang-19', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
    const [node, other] = lab.nodes;
    const child = node.spawn([program, linklessDevice, other.namespacePath]);
    resources.defer(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    for (const each of [node, other]) await each.mustRun(['ip', 'link', 'set', linklessDevice, 'up']);
    for (const family of ['v4', 'v6'] as const) {
      const end = `${linklessEnd[family]}/${family === 'v4' ? 32 : 128}`;
      await node.mustRun(['ip', 'address', 'add', end, 'dev', linklessDevice]);
      await node.mustRun(['ip', 'route', 'replace', podRangeTwo[family], 'dev', linklessDevice]);
      await other.mustRun(['ip', 'route', 'add', end, 'dev', linklessDevice]);
    }
    return new Relay(resources.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.disposeAsync();
  }
}
