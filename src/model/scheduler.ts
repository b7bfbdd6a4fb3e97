// SPDX-License-Identifier: Apache-2.0
// The kernel's schedulers by name, and the flags that ipvsadm -b gives them.

/** Every scheduler of the kernel; which of them a data plane can run is its own to say. */
export const schedulerNames = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'sed',
  'nq',
  'mh',
  'fo',
  'ovf',
  'twos',
] as const;

export type SchedulerName = (typeof schedulerNames)[number];

export function isSchedulerName(text: string): text is SchedulerName {
  return (schedulerNames as readonly string[]).includes(text);
}

/** Bits sched1, sched2 and sched3 of include/uapi/linux/ip_vs.h; their meaning is the scheduler's. */
export type SchedulerFlag = 'flag-1' | 'flag-2' | 'flag-3';

const flagNames: Partial<Record<SchedulerName, Partial<Record<SchedulerFlag, string>>>> = {
  sh: { 'flag-1': 'sh-fallback', 'flag-2': 'sh-port' },
  mh: { 'flag-1': 'mh-fallback', 'flag-2': 'mh-port' },
};

const allFlags: readonly SchedulerFlag[] = ['flag-1', 'flag-2', 'flag-3'];

/**
 * The flags as ipvsadm names them, joined by commas in the order of their bits ("sh-fallback,sh-port").
 * sh and mh print nothing for flag-3, as ipvsadm 1.31 does.
 */
export function formatSchedulerFlags(scheduler: SchedulerName, flags: readonly SchedulerFlag[]): string {
  const names = flagNames[scheduler];
  return allFlags
    .filter((flag) => flags.includes(flag))
    .map((flag) => (names ? names[flag] : flag))
    .filter((name) => name !== undefined)
    .join(',');
}

/** The flag that `name` stands for with this scheduler, or undefined if there is none (ipvsadm -b). */
export function parseSchedulerFlag(scheduler: SchedulerName, name: string): SchedulerFlag | undefined {
  return allFlags.find((flag) => flag === name || flagNames[scheduler]?.[flag] === name);
}
