// SPDX-License-Identifier: Apache-2.0
// What deploy/Dockerfile makes, as a folder to be the root of a process: Node.js, the libraries it needs, and scripts/image-root.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { load } from 'js-yaml';
import type { NodeAgent } from './daemon.ts';

const project = fileURLToPath(new URL('../../', import.meta.url));
const nodePath = '/nodejs/bin/node';

interface Container {
  readonly command: readonly string[];
  readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
}

/** What there is of a DaemonSet that the tests look at. */
export interface DaemonSet {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: Readonly<Record<string, unknown>> & { readonly containers: readonly [Container] };
    };
  };
}

export function readDaemonSet(): DaemonSet {
  return load(readFileSync(`${project}deploy/kustomize/base/daemonset.yaml`, 'utf8')) as DaemonSet;
}

/** What scripts/image-root puts into a folder. Takes some seconds, and minutes where nothing is built. */
export function makeImageRoot(path: string): void {
  execFileSync(`${project}scripts/image-root`, [path, nodePath], { stdio: 'pipe' });
}

export class ImageRoot implements Disposable {
  readonly path: string;

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'bpvs-image-'));
    makeImageRoot(this.path);
    // As in the base image.
    for (const folder of ['bin', 'lib', 'lib64', 'sbin']) {
      mkdirSync(join(this.path, 'usr', folder), { recursive: true });
      symlinkSync(`usr/${folder}`, join(this.path, folder));
    }
    const node = realpathSync(process.execPath);
    this.#copy(node, nodePath);
    const libraries = execFileSync('ldd', [node], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
    for (const [, library = ''] of libraries) this.#copy(realpathSync(library), library);
    for (const folder of [
      'proc',
      'sys',
      'manifests',
      'var/lib/kube-proxy',
      'run/bpvs/bpf',
      'run/bpvs/cgroup',
    ])
      mkdirSync(join(this.path, folder), { recursive: true });
  }

  #copy(from: string, to: string): void {
    mkdirSync(join(this.path, dirname(to)), { recursive: true });
    cpSync(from, join(this.path, to));
  }

  /**
   * The argument vector that runs a program of the image as the DaemonSet has it, read-only and with these capabilities alone, on
   * the agent's node, with its manifests at /manifests.
   */
  command(agent: NodeAgent, capabilities: readonly string[], argv: readonly string[]): string[] {
    const [program = '', ...words] = argv;
    const mounts = [
      `mount --bind ${this.path} ${this.path}`,
      ...[
        ['/proc', 'proc'],
        ['/sys', 'sys'],
        ['/sys/fs/bpf', 'run/bpvs/bpf'],
        [agent.cgroup, 'run/bpvs/cgroup'],
        [agent.manifests, 'manifests'],
      ].map(([from, to]) => `mount --rbind ${from} ${this.path}/${to}`),
      `mount -o remount,bind,ro ${this.path}`,
    ];
    const drop = `capsh --print | sed -n 's/^Bounding set =//p' | tr , '\\n' | grep -vxE '${capabilities
      .map((name) => `cap_${name.toLowerCase()}`)
      .join('|')}' | paste -sd,`;
    const enter = `exec env -i PATH="$PATH" BPVS_PIN_DIR=/run/bpvs/bpf/${agent.pinDirectory.split('/').pop()} BPVS_CGROUP=/run/bpvs/cgroup capsh --chroot=${this.path} --drop=$drop --shell=${program} -- "$@"`;
    const script = ['set -e', ...mounts, `drop=$(${drop})`, enter].join('\n');
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...words];
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
