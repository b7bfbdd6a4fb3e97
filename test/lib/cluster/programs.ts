// SPDX-License-Identifier: Apache-2.0
// The programs of a real control plane, which scripts/build-kubernetes builds.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const controlPlanePrograms = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'] as const;
export type ControlPlaneProgram = (typeof controlPlanePrograms)[number] | 'kube-proxy';

const script = fileURLToPath(new URL('../../../scripts/build-kubernetes', import.meta.url));
let folder: string | undefined;

/** Where the program is, or would be. */
export function programPath(program: ControlPlaneProgram): string {
  folder ??= execFileSync(script, ['--where'], { encoding: 'utf8' }).trim();
  return `${folder}/${program}`;
}

/** What this machine lacks for a control plane, as a sentence; undefined if one can be started. For the skip option of tests. */
export function missingForCluster(): string | undefined {
  if (!controlPlanePrograms.every((program) => existsSync(programPath(program)))) {
    return spawnSync('which', ['go']).status === 0
      ? 'the control plane is not built yet: npm run e2e, or scripts/build-kubernetes, does that once'
      : 'the control plane is not built yet, and Go, which builds it, is not here (Debian package golang-go)';
  }
  const tools = { openssl: 'openssl', setpriv: 'util-linux' };
  const tool = Object.entries(tools).find(([name]) => spawnSync('which', [name]).status !== 0);
  return tool && `the control plane needs ${tool[0]} (Debian package ${tool[1]})`;
}
