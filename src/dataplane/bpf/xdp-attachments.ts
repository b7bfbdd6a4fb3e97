// SPDX-License-Identifier: Apache-2.0
// XDP at NICs: in their drivers or not at all, by links that outlive the process.
import { constants } from 'node:os';
import { SystemError } from '../../errors.ts';
import { BpfLink, xdpFlags } from '../../native/bpf-link.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { LinkRecord } from '../../native/network-records.ts';
import type { Device } from './attachments.ts';
import type { BpfPrograms } from './bpf-programs.ts';
import { enums, layouts } from './layouts.ts';
import { attachLink, isLinkAttached, linkPins, removeLink } from './link-pins.ts';
import { decode, encode } from './struct.ts';
import { word } from './words.ts';

/** What XDP has to be told of a device. */
export type XdpDevice = Device & Pick<LinkRecord, 'address' | 'kind' | 'linkIndex' | 'masterIndex' | 'mtu'>;

export interface XdpRefusal {
  readonly device: Device;
  /** In words. */
  readonly reason: string;
}

/** What one call of {@link XdpAttachments.setDevices} changed, and which devices stay without. */
export interface XdpChanges {
  readonly attached: readonly Device[];
  readonly detached: readonly number[];
  readonly refusals: readonly XdpRefusal[];
}

/** Another program may go at any time, and nobody tells. */
const takenErrnos: ReadonlySet<number> = new Set([constants.errno.EBUSY, constants.errno.EEXIST]);

/** Attaches as Attachments does: taken over in place, kept when the process ends. */
export class XdpAttachments {
  readonly #programs: BpfPrograms;
  readonly #pinDirectory: string;
  /** By index. */
  readonly #attached = new Set<number>();
  readonly #refused = new Map<number, { readonly errno: number; readonly mtu: number }>();

  constructor(programs: BpfPrograms, pinDirectory: string) {
    this.#programs = programs;
    this.#pinDirectory = pinDirectory;
  }

  /**
   * Makes these the devices that have XDP; what an earlier process attached elsewhere is detached. One that refuses is tried
   * again when its MTU is another, and at every call where another program stands in the way.
   * @param links all there are: a bond's frames are met by its ports
   */
  setDevices(wanted: readonly XdpDevice[], links: readonly XdpDevice[]): XdpChanges {
    const indexes = new Set(wanted.map(({ index }) => index));
    const detached = linkPins(this.#pinDirectory).flatMap((pin) => {
      const index = Number(/^xdp-(\d+)-/.exec(pin)?.[1] ?? Number.NaN);
      return Number.isNaN(index) || indexes.has(index) ? [] : [index];
    });
    for (const index of detached) removeLink(this.#pinDirectory, pinOf(index));
    for (const known of [this.#attached, this.#refused])
      for (const index of known.keys()) if (!indexes.has(index)) known.delete(index);
    this.#forgetEntries(framesOf(wanted, links));
    const attached = wanted.filter((device) => this.#attach(device, links));
    const refusals = wanted.flatMap((device) => {
      const refusal = this.#refused.get(device.index);
      return refusal ? [{ device, reason: describeRefusal(refusal.errno) }] : [];
    });
    return { attached, detached, refusals };
  }

  get #map(): BpfMap {
    return this.#programs.maps.get('xdp_devices');
  }

  /** @returns whether it was not attached before */
  #attach(device: XdpDevice, links: readonly XdpDevice[]): boolean {
    const { index, mtu } = device;
    for (const each of framesOf([device], links)) this.#write(each, links);
    if (this.#attached.has(index) && isLinkAttached(this.#pinDirectory, pinOf(index), index)) return false;
    this.#attached.delete(index);
    const refused = this.#refused.get(index);
    if (refused && refused.mtu === mtu && !takenErrnos.has(refused.errno)) return false;
    const program = this.#programs.program('xdp_ingress');
    try {
      const attach = () => BpfLink.attachXdp(program, index, xdpFlags.native);
      attachLink(this.#pinDirectory, pinOf(index), program, attach, index);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (error.code === 'ENODEV') return false; // gone meanwhile
      this.#refused.set(index, { errno: error.errno, mtu });
      this.#write(device, links);
      return false;
    }
    this.#attached.add(index);
    this.#refused.delete(index);
    this.#write(device, links);
    return true;
  }

  /** Where an index 4096 higher or lower has the place, XDP leaves this device's frames to tc. */
  #write(device: XdpDevice, links: readonly XdpDevice[]): void {
    const { index, address } = device;
    const refusal = this.#refused.get(index)?.errno ?? 0;
    const may_send = this.#attached.has(index) && maySend(device, links) ? 1 : 0;
    const value = encode(layouts.xdp_device, { ifindex: index, refusal, address, may_send });
    const before = this.#map.lookup(keyOf(index));
    const holder = before ? decode(layouts.xdp_device, before).ifindex : 0;
    if (holder !== 0 && holder !== index) return;
    if (!before || Buffer.compare(before, value) !== 0) this.#map.update(keyOf(index), value);
  }

  #forgetEntries(kept: readonly XdpDevice[]): void {
    const indexes = new Set(kept.map(({ index }) => index));
    for (const { ifindex } of entriesOf(this.#map)) {
      if (!indexes.has(ifindex)) this.#map.update(keyOf(ifindex), new Uint8Array(layouts.xdp_device.size));
    }
  }
}

/** Why devices that XDP was asked for do without, by index; those that have it are not among them. */
export function readRefusals(map: BpfMap): ReadonlyMap<number, string> {
  const refusals = new Map<number, string>();
  for (const { ifindex, refusal } of entriesOf(map)) {
    if (refusal !== 0) refusals.set(ifindex, describeRefusal(refusal));
  }
  return refusals;
}

function entriesOf(map: BpfMap) {
  return [...map.entries()]
    .map(([, value]) => decode(layouts.xdp_device, value))
    .filter(({ ifindex }) => ifindex !== 0);
}

/**
 * Whether what XDP sends out of a device arrives. The other end of a veth pair drops it unless it has XDP or GRO, which
 * cannot be seen from here; and below VLAN devices a frame's tag may have been taken off, and would be lost.
 */
function maySend({ index, kind }: XdpDevice, links: readonly XdpDevice[]): boolean {
  const carriesVlans = links.some((link) => link.kind === 'vlan' && link.linkIndex === index);
  return (kind === '' || kind === 'bond') && !carriesVlans;
}

/** Devices at which the program meets the frames of these. */
function framesOf(devices: readonly XdpDevice[], links: readonly XdpDevice[]): readonly XdpDevice[] {
  return devices.flatMap((device) => [device, ...links.filter((link) => link.masterIndex === device.index)]);
}

/** net/core/dev.c: dev_xdp_attach; drivers answer otherwise only with their own refusals. */
function describeRefusal(errno: number): string {
  switch (errno) {
    case constants.errno.EBUSY:
    case constants.errno.EEXIST:
      return 'another XDP program is attached there';
    case constants.errno.EOPNOTSUPP:
      return 'its driver has no native XDP';
    default:
      return `its driver refuses XDP as the device is set up now (errno ${errno}), for its MTU, its queues or its offloads`;
  }
}

function pinOf(index: number): string {
  return `xdp-${index}-ingress`;
}

function keyOf(index: number): Uint8Array {
  return word(index % enums.xdp_places.XDP_DEVICES);
}
