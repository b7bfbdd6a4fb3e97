// SPDX-License-Identifier: Apache-2.0
// The scheduler of a Service and its flags: those of all, or those that its annotations ask for.
import { annotationFor } from '../model/annotations.ts';
import type { ServiceObject } from '../model/cluster.ts';
import {
  isSchedulerName,
  parseSchedulerFlag,
  type SchedulerFlag,
  type SchedulerName,
} from '../model/scheduler.ts';

export interface Scheduling {
  readonly scheduler: SchedulerName;
  readonly schedulerFlags: readonly SchedulerFlag[];
}

/** What all Services have that do not ask for another. */
export interface SchedulingDefaults {
  readonly scheduler: SchedulerName;
  /** Its flags; undefined: those that kube-proxy gives it. */
  readonly schedulerFlags?: readonly SchedulerFlag[] | undefined;
  /** Those that the data plane has; undefined: all of the kernel's. */
  readonly schedulers?: readonly SchedulerName[] | undefined;
}

/** mh hashes the client's port too, as kube-proxy has it: IP_VS_SVC_F_SCHED_MH_PORT. */
function defaultFlags(scheduler: SchedulerName): readonly SchedulerFlag[] {
  return scheduler === 'mh' ? ['flag-2'] : [];
}

/** A value that cannot be used leaves the default, and a sentence about it. */
export function scheduling(
  { annotations }: ServiceObject,
  defaults: SchedulingDefaults,
): Scheduling & { readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  let { scheduler } = defaults;
  const asked = annotationFor(annotations, 'scheduler');
  if (asked) {
    if (isSchedulerName(asked.value) && (defaults.schedulers?.includes(asked.value) ?? true)) {
      scheduler = asked.value;
    } else {
      warnings.push(
        `${asked.name}: expected a scheduler but received "${asked.value}": it stays ${scheduler}`,
      );
    }
  }
  const isDefault = scheduler === defaults.scheduler;
  let schedulerFlags = (isDefault ? defaults.schedulerFlags : undefined) ?? defaultFlags(scheduler);
  const flags = annotationFor(annotations, 'schedulerFlags');
  if (flags) {
    const parsed = parseFlags(scheduler, flags.value);
    if (parsed) schedulerFlags = parsed;
    else
      warnings.push(
        `${flags.name}: expected flags of the scheduler ${scheduler} but received "${flags.value}": they are left out`,
      );
  }
  return { scheduler, schedulerFlags, warnings };
}

function parseFlags(scheduler: SchedulerName, text: string): readonly SchedulerFlag[] | undefined {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const flags = names.map((name) => parseSchedulerFlag(scheduler, name));
  if (flags.includes(undefined)) return undefined;
  return [...new Set(flags)].filter((flag) => flag !== undefined).sort();
}
