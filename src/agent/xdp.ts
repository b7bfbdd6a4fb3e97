// SPDX-License-Identifier: Apache-2.0
// The option --xdp: which devices get XDP, and what is said of those that do not.
import type { XdpDeviceFilter } from '../dataplane/bpf/devices.ts';
import type { XdpAttachments } from '../dataplane/bpf/xdp-attachments.ts';
import { EnvironmentError } from '../errors.ts';
import type { LinkRecord } from '../native/network-records.ts';
import type { Log } from './log.ts';
import { OnceEach } from './once-each.ts';

/** native: a device that refuses ends the start. best-effort: tc serves it. */
export type XdpMode = 'native' | 'best-effort' | 'off';

export interface XdpOptions {
  readonly mode: XdpMode;
  readonly isXdpDevice: XdpDeviceFilter;
  /** Those that the filter names one by one: it is said of which there is none that can have XDP. */
  readonly namedDevices: readonly string[];
}

/** How many devices should have XDP, and which of them, or of those named, have none, as lines. */
export interface XdpOutcome {
  readonly wanted: number;
  readonly problems: readonly string[];
}

export class Xdp {
  readonly #options: XdpOptions;
  readonly #attachments: XdpAttachments;
  readonly #log: Log;
  readonly #problems = new OnceEach();

  constructor(options: XdpOptions, attachments: XdpAttachments, log: Log) {
    this.#options = options;
    this.#attachments = attachments;
    this.#log = log;
  }

  /** @param served indexes of the devices that tc serves: it does what XDP leaves, and the replies */
  update(links: readonly LinkRecord[], served: ReadonlySet<number>): XdpOutcome {
    const { mode, isXdpDevice, namedDevices } = this.#options;
    const wanted = links.filter((link) => mode !== 'off' && served.has(link.index) && isXdpDevice(link));
    const { attached, detached, refusals } = this.#attachments.setDevices(wanted, links);
    const nameOf = (index: number) => links.find((link) => link.index === index)?.name ?? `#${index}`;
    for (const { name } of attached) this.#log('info', 'XDP attached', { device: name });
    for (const index of detached) this.#log('info', 'XDP detached', { device: nameOf(index) });
    const missing = namedDevices.filter((name) => !wanted.some((device) => device.name === name));
    const problems = [
      ...refusals.map(({ device, reason }) => `${device.name}: ${reason}`),
      ...missing.map((name) => `${name}: ${describeMissing(links.find((link) => link.name === name))}`),
    ];
    for (const problem of this.#problems.fresh(problems))
      this.#log('warning', 'no XDP at a device, tc serves it alone', { problem });
    return { wanted: wanted.length, problems };
  }

  /** Throws EnvironmentError for an outcome that the mode native does not allow. */
  check({ wanted, problems }: XdpOutcome): void {
    if (this.#options.mode !== 'native') return;
    const none = wanted === 0 ? ['no device is a NIC'] : [];
    const all = problems.length > 0 ? problems : none;
    if (all.length === 0) return;
    throw new EnvironmentError(
      `Expected native XDP at every device of --xdp-devices, for --xdp native, but received ${all.join('; ')}; ` +
        'leave such devices out, or let tc serve them with --xdp best-effort',
    );
  }
}

function describeMissing(device: LinkRecord | undefined): string {
  if (!device) return 'there is no such device';
  return 'tc does not serve it, or it is a port of another device';
}
