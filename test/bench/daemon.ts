// SPDX-License-Identifier: Apache-2.0
// The daemon over a folder with as many services as wanted.
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { findCgroupRoot } from '../../src/agent/cgroup.ts';
import { mustRun } from '../lib/command.ts';
import { Speaker } from './speaker.ts';

/** The bundle, which is what users start. */
const bpvs = fileURLToPath(new URL('../../build/agent/bpvs.js', import.meta.url));

/** The one service that answers, over TCP and UDP, with one endpoint. */
export interface Target {
  readonly address: string;
  readonly port: number;
  readonly endpoint: string;
  readonly endpointPort: number;
}

/** `bpvs run` on a node, with pins and a control group of its own. */
export class Daemon {
  readonly #speaker: Speaker;
  readonly #folder: string;
  readonly #pins: string;
  readonly #cgroup: string;

  private constructor(speaker: Speaker, folder: string, pins: string, cgroup: string) {
    this.#speaker = speaker;
    this.#folder = folder;
    this.#pins = pins;
    this.#cgroup = cgroup;
  }

  static async start(
    name: string,
    inNode: readonly string[],
    services: number,
    target: Target,
    options: readonly string[] = [],
  ): Promise<Daemon> {
    const folder = mkdtempSync(`${tmpdir()}/${name}-`);
    const pins = `/sys/fs/bpf/${name}`;
    const cgroup = `${findCgroupRoot()}/${name}`;
    mkdirSync(cgroup, { recursive: true });
    writeFileSync(`${folder}/services.json`, JSON.stringify(serviceManifests(services, target)));
    const argv = [
      'run',
      '--manifests',
      folder,
      '--node',
      'node1',
      '--pin-dir',
      pins,
      '--cgroup',
      cgroup,
      ...options,
    ];
    const speaker = new Speaker([...inNode, 'taskset', '-c', '0', process.execPath, bpvs, ...argv]);
    const daemon = new Daemon(speaker, folder, pins, cgroup);
    try {
      await speaker.line();
      return daemon;
    } catch (error) {
      await daemon.end();
      throw error;
    }
  }

  residentMiB(): number {
    const [, kiB] =
      /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.#speaker.pid}/status`, 'utf8')) ?? [];
    return Number(kiB) / 1024;
  }

  async end(): Promise<void> {
    await this.#speaker.end();
    await mustRun([process.execPath, bpvs, 'cleanup', '--pin-dir', this.#pins]);
    rmdirSync(this.#cgroup);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A List of `services` Services, the first of them the target, the others with two endpoints each. */
function serviceManifests(services: number, target: Target): unknown {
  const web = [
    service('web', target.address, target.port, ['TCP', 'UDP']),
    slice('web', [target.endpoint], target.endpointPort, ['TCP', 'UDP']),
  ];
  const others = Array.from({ length: services - 1 }, (_, i) => {
    const place = `${(i >> 8) & 0xff}.${i & 0xff}`;
    const name = `other-${i}`;
    const endpoints = [`10.250.${place}`, `10.251.${place}`];
    return [service(name, `10.97.${place}`, target.port, ['TCP']), slice(name, endpoints, 8080, ['TCP'])];
  });
  return { apiVersion: 'v1', kind: 'List', items: [...web, ...others.flat()] };
}

function service(name: string, clusterIP: string, port: number, protocols: readonly string[]): unknown {
  const ports = protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port }));
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { clusterIP, ports } };
}

function slice(
  name: string,
  endpoints: readonly string[],
  port: number,
  protocols: readonly string[],
): unknown {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-a`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: endpoints.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port })),
  };
}
