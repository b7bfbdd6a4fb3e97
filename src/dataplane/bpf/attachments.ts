// SPDX-License-Identifier: Apache-2.0
// Where the programs are attached: to devices and to a control group, by links that outlive the process.
import { existsSync, renameSync, statfsSync, statSync, unlinkSync } from 'node:fs';
import { BpvsError, EnvironmentError, SystemError } from '../../errors.ts';
import {
  attachTc,
  BpfLink,
  type Direction,
  detachTc,
  queryTc,
  type TcFilter,
} from '../../native/bpf-link.ts';
import type { BpfPrograms } from './bpf-programs.ts';
import { hasLinkHeader } from './devices.ts';
import { attachLink, isLinkAttached, linkPins, removeLink } from './link-pins.ts';
import { pinnedPrograms, programPin } from './program-pins.ts';

/** tcx links since Linux 6.6, else classifiers of a clsact qdisc; `auto` finds out. */
export type DeviceHook = 'auto' | 'tcx' | 'clsact';

export interface Device {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_*, by which the programs are chosen. */
  readonly type: number;
}

export interface DeviceFailure {
  readonly device: Device;
  readonly error: BpvsError;
}

/** What one call of {@link Attachments.setDevices} changed. */
export interface DeviceChanges {
  readonly attached: readonly Device[];
  readonly forgotten: readonly Device[];
  readonly failures: readonly DeviceFailure[];
}

/** Replies can be turned before the first request is. */
const directions: readonly Direction[] = ['egress', 'ingress'];

/** "bpvs" and "bp" in ASCII: the classifier of this handle and priority is ours, nobody else's is touched. */
const tcHandle = 0x62707673;
const tcPriority = 0x6270;

/** Programs of sockets with the section that stands for their attach type; what translates comes last. */
const socketSections: Readonly<Record<string, string>> = {
  getpeername4: 'cgroup/getpeername4',
  getpeername6: 'cgroup/getpeername6',
  recvmsg4: 'cgroup/recvmsg4',
  recvmsg6: 'cgroup/recvmsg6',
  sock_release: 'cgroup/sock_release',
  socket_events: 'sockops',
  sendmsg4: 'cgroup/sendmsg4',
  sendmsg6: 'cgroup/sendmsg6',
  connect4: 'cgroup/connect4',
  connect6: 'cgroup/connect6',
};

/** include/uapi/linux/magic.h: CGROUP2_SUPER_MAGIC. */
const cgroup2 = 0x63677270;

/** Throws EnvironmentError where programs of sockets cannot be attached: there is no such control group of version 2. */
export function checkCgroup(path: string): void {
  try {
    statSync(`${path}/.`);
    if (statfsSync(path).type !== cgroup2)
      throw Object.assign(new Error(`${path} is elsewhere`), { code: 'EBADF' });
  } catch (error) {
    throw explainCgroupError(error, path);
  }
}

/**
 * Attaches loaded programs. What an earlier process attached is taken over in place: there is no packet in between that
 * meets no program. Ending the process detaches nothing; {@link detachLinks} does.
 */
export class Attachments {
  readonly #programs: BpfPrograms;
  readonly #pinDirectory: string;
  readonly #attached = new Map<number, Device>();
  #hook: DeviceHook;

  constructor(programs: BpfPrograms, pinDirectory: string, hook: DeviceHook) {
    this.#programs = programs;
    this.#pinDirectory = pinDirectory;
    this.#hook = hook;
  }

  get devices(): readonly Device[] {
    return [...this.#attached.values()];
  }

  /** Replaces the pins of programs that commands run by themselves. Throws SystemError. */
  pinPrograms(): void {
    for (const name of pinnedPrograms) {
      const path = programPin(this.#pinDirectory, name);
      const next = `${path}_next`;
      if (existsSync(next)) unlinkSync(next);
      this.#programs.program(name).pin(next);
      renameSync(next, path);
    }
  }

  /**
   * Attaches the programs of sockets to a control group of version 2, and detaches those of another group.
   * Throws EnvironmentError where that is not possible.
   */
  attachSockets(cgroupPath: string): void {
    const kept = new Set<string>();
    try {
      const { ino } = statSync(cgroupPath);
      for (const [name, section] of Object.entries(socketSections)) {
        const pin = `cgroup-${ino}-${name}`;
        kept.add(pin);
        attachLink(this.#pinDirectory, pin, this.#programs.program(name), (program) =>
          BpfLink.attachCgroup(program, cgroupPath, section),
        );
      }
    } catch (error) {
      throw explainCgroupError(error, cgroupPath);
    }
    for (const pin of linkPins(this.#pinDirectory)) {
      if (pin.startsWith('cgroup-') && !kept.has(pin)) removeLink(this.#pinDirectory, pin);
    }
  }

  /**
   * Makes these the devices that are attached. One that cannot be attached is a failure of its own, which the next call
   * tries again; one that has gone meanwhile is none. What others have detached meanwhile is attached again.
   * @param others devices that exist but must not be attached; classifiers of an earlier process are taken off them
   */
  setDevices(wanted: readonly Device[], others: readonly Device[] = []): DeviceChanges {
    const attached: Device[] = [];
    const failures: DeviceFailure[] = [];
    for (const device of wanted) {
      try {
        const isAttached = this.#attached.has(device.index) && this.#isAttached(device.index);
        if (isAttached && this.#attached.get(device.index)?.name === device.name) continue;
        this.#programs.fillHandlers();
        if (!isAttached) this.#attach(device);
        attached.push(device);
        this.#attached.set(device.index, device);
      } catch (error) {
        if (!(error instanceof BpvsError)) throw error;
        if (error.code !== 'ENODEV') failures.push({ device, error });
      }
    }
    const indexes = new Set(wanted.map((device) => device.index));
    const forgotten = this.devices.filter((device) => !indexes.has(device.index));
    for (const { index } of forgotten) this.#attached.delete(index);
    for (const { index } of [...forgotten, ...others]) detachClassifiers(index);
    for (const pin of linkPins(this.#pinDirectory)) {
      const index = /^tcx-(\d+)-/.exec(pin)?.[1];
      if (index !== undefined && !indexes.has(Number(index))) removeLink(this.#pinDirectory, pin);
    }
    return { attached, forgotten, failures };
  }

  /** Whether the programs that were attached are still there: others may take them off, an index may be another device's now. */
  #isAttached(ifindex: number): boolean {
    return directions.every((direction) => {
      if (this.#hook === 'clsact') return queryTc(filterOf(ifindex, direction)) !== undefined;
      return isLinkAttached(this.#pinDirectory, tcxPin(ifindex, direction), ifindex);
    });
  }

  #attach(device: Device): void {
    for (const direction of directions) {
      this.#attachDirection(device.index, direction, hasLinkHeader(device));
    }
  }

  #attachDirection(ifindex: number, direction: Direction, withLinkHeader: boolean): void {
    const program = this.#programs.deviceProgram(direction, withLinkHeader);
    const pin = tcxPin(ifindex, direction);
    if (this.#hook !== 'clsact') {
      try {
        const attach = () => BpfLink.attachTcx(program, ifindex, direction);
        attachLink(this.#pinDirectory, pin, program, attach, ifindex);
        this.#hook = 'tcx';
        detachTc(filterOf(ifindex, direction));
        return;
      } catch (error) {
        if (this.#hook === 'tcx' || !(error instanceof SystemError && error.code === 'EINVAL')) throw error;
        this.#hook = 'clsact';
      }
    }
    attachTc(program, filterOf(ifindex, direction));
    removeLink(this.#pinDirectory, pin);
  }
}

/** One place where a program is attached, by its pin: a device's index, or a control group's inode. */
export interface Attachment {
  readonly kind: 'tcx' | 'xdp' | 'cgroup';
  readonly target: number;
  /** "ingress", "egress", or the name of a program of sockets. */
  readonly hook: string;
}

/** The links that are pinned; classifiers are not among them. */
export function listAttachments(pinDirectory: string): readonly Attachment[] {
  return linkPins(pinDirectory).flatMap((pin) => {
    const [, kind, target, hook] = /^(tcx|xdp|cgroup)-(\d+)-(\w+)$/.exec(pin) ?? [];
    return kind === undefined || hook === undefined
      ? []
      : [{ kind: kind as Attachment['kind'], target: Number(target), hook }];
  });
}

/** Detaches all links that are pinned. @returns how many there were */
export function detachLinks(pinDirectory: string): number {
  return linkPins(pinDirectory).filter((pin) => removeLink(pinDirectory, pin)).length;
}

/** Takes our classifiers off a device. @returns how many there were */
export function detachClassifiers(ifindex: number): number {
  return directions.filter((direction) => detachTc(filterOf(ifindex, direction))).length;
}

/** Whether a device has our classifiers. */
export function hasClassifiers(ifindex: number): boolean {
  return directions.some((direction) => queryTc(filterOf(ifindex, direction)) !== undefined);
}

function tcxPin(ifindex: number, direction: Direction): string {
  return `tcx-${ifindex}-${direction}`;
}

function filterOf(ifindex: number, direction: Direction): TcFilter {
  return { ifindex, direction, handle: tcHandle, priority: tcPriority };
}

function explainCgroupError(error: unknown, path: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such folder; --cgroup names the root of the control groups (version 2)',
    ENOTDIR: 'it is no folder; --cgroup names the root of the control groups (version 2)',
    EACCES: 'this process may not enter it',
    EBADF: 'it is no control group of version 2; --cgroup names their root',
    EPERM:
      'another program is attached there, or above, that allows no other beside it; ' +
      '`bpftool cgroup tree` shows it, whoever attached it has to use BPF_F_ALLOW_MULTI',
    EINVAL: 'this kernel lacks a hook for sockets; Linux 5.8 or later has all',
  };
  return new EnvironmentError(
    `The programs of sockets cannot be attached to ${path}: ${reasons[code] ?? message}`,
    { cause: error },
  );
}
