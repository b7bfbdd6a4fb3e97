// SPDX-License-Identifier: Apache-2.0
// A program's attachment to a device or a control group, and the older classifiers for kernels without tcx.
import { closeSync, openSync } from 'node:fs';
import { SystemError } from '../errors.ts';
import { addon, type NativeLink } from './addon.ts';
import type { BpfProgram } from './bpf-program.ts';
import { Descriptor } from './descriptor.ts';

export type Direction = 'ingress' | 'egress';

/** enum bpf_attach_type; libbpf and headers before Linux 6.6 have no names for tcx. */
const attachTypes = { xdp: 37, ingress: 46, egress: 47 } as const;

/** XDP_FLAGS_*: the modes that an attachment may ask for. */
export const xdpFlags = { generic: 2, native: 4, hardware: 8 } as const;

/** enum bpf_link_type, as bpftool spells it. */
const linkTypes = new Map([
  [3, 'cgroup'],
  [5, 'netns'],
  [6, 'xdp'],
  [11, 'tcx'],
  [13, 'netkit'],
]);

export interface BpfLinkInfo {
  readonly id: number;
  /** "cgroup", "netns", "xdp", "tcx", "netkit"; else the number. */
  readonly type: string;
  readonly programId: number;
  /** Of an xdp, tcx or netkit link; 0 once its device is gone. */
  readonly ifindex?: number;
  /** Of a tcx, netkit or cgroup link. */
  readonly attachType?: number;
}

/**
 * An attachment that lasts until its last descriptor and pin are gone. All methods throw SystemError (EBADF after close;
 * ENOLINK once the device is gone).
 */
export class BpfLink extends Descriptor<NativeLink> {
  static openPinned(path: string): BpfLink {
    return new BpfLink(addon.openPinnedLink(path));
  }

  /**
   * Attaches behind the programs already there. Throws SystemError: EEXIST when this program is already there, ENODEV without
   * the device, EINVAL before Linux 6.6.
   */
  static attachTcx(program: BpfProgram, ifindex: number, direction: Direction): BpfLink {
    return new BpfLink(addon.createLink(program.native, ifindex, attachTypes[direction], 0));
  }

  /**
   * A device has one XDP program a mode. Without flags the driver's mode where it has one, else the generic one.
   * Throws SystemError: EBUSY when another program is attached, EOPNOTSUPP or EINVAL when the mode or the MTU does not fit.
   */
  static attachXdp(program: BpfProgram, ifindex: number, flags = 0): BpfLink {
    return new BpfLink(addon.createLink(program.native, ifindex, attachTypes.xdp, flags));
  }

  /**
   * Attaches to a control group and all below it, beside others' programs.
   * @param attachType enum bpf_attach_type, or the section name that stands for it ("cgroup/connect4").
   */
  static attachCgroup(program: BpfProgram, cgroupPath: string, attachType: number | string): BpfLink {
    const type = typeof attachType === 'string' ? addon.attachTypeOf(attachType) : attachType;
    const cgroup = openSync(cgroupPath, 'r');
    try {
      return new BpfLink(addon.createLink(program.native, cgroup, type, 0));
    } finally {
      closeSync(cgroup);
    }
  }

  /** Puts another program of the same type in its place, without a packet in between that meets none. */
  update(program: BpfProgram): void {
    this.native.update(program.native);
  }

  /** Detaches at once, whoever else holds the link; it stays as an empty shell. */
  detach(): void {
    this.native.detach();
  }

  info(): BpfLinkInfo {
    const { id, type, programId, ifindex, deviceAttachType, cgroupAttachType } = this.native.info();
    const common = { id, type: linkTypes.get(type) ?? String(type), programId };
    switch (common.type) {
      case 'tcx':
      case 'netkit':
        return { ...common, ifindex, attachType: deviceAttachType };
      case 'xdp':
        return { ...common, ifindex };
      case 'cgroup':
        return { ...common, attachType: cgroupAttachType };
      default:
        return common;
    }
  }
}

/** Which classifier of a device's clsact qdisc is meant. */
export interface TcFilter {
  readonly ifindex: number;
  readonly direction: Direction;
  /** From 1. */
  readonly handle: number;
  /** From 1; the lower runs first. */
  readonly priority: number;
}

/**
 * Attaches as a direct-action classifier, in place of the one with the same handle and priority, and makes the clsact qdisc
 * if there is none. It stays when the process ends. Throws SystemError.
 */
export function attachTc(program: BpfProgram, filter: TcFilter): void {
  const { ifindex, direction, handle, priority } = filter;
  try {
    addon.createClsact(ifindex);
  } catch (error) {
    if (!(error instanceof SystemError && error.code === 'EEXIST')) throw error;
  }
  addon.attachTc(program.native, ifindex, direction === 'egress', handle, priority);
}

/** Takes a classifier away; the qdisc stays, others may use it. @returns whether it was there. */
export function detachTc({ ifindex, direction, handle, priority }: TcFilter): boolean {
  const detached = unlessGone(() => {
    addon.detachTc(ifindex, direction === 'egress', handle, priority);
    return true;
  });
  return detached ?? false;
}

/** @returns the id of the attached program, undefined where there is none. */
export function queryTc({ ifindex, direction, handle, priority }: TcFilter): number | undefined {
  return unlessGone(() => addon.queryTc(ifindex, direction === 'egress', handle, priority));
}

/** Undefined where the filter, the qdisc (EINVAL) or the device is not there. */
function unlessGone<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof SystemError && ['ENOENT', 'EINVAL', 'ENODEV'].includes(error.code)) return undefined;
    throw error;
  }
}
