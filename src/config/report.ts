// SPDX-License-Identifier: Apache-2.0
// What BPVS does with each field that a configuration sets.
import { type FieldPath, fieldOf, fieldPaths, type Mode, type SetFields, type Use } from './fields.ts';
import { activeSection, isSet } from './kube-proxy-configuration.ts';
import { printValue } from './write.ts';

export interface FieldReport {
  readonly path: FieldPath;
  /** As JSON. */
  readonly value: string;
  readonly use: Use;
  /** The reason of what is ignored, the meaning of what is mapped. */
  readonly note: string | undefined;
}

/** One for each field that is set, in the order of the table of fields. */
export function reportFields(set: SetFields): readonly FieldReport[] {
  const mode = activeSection({ mode: set.mode ?? '' });
  return fieldPaths.flatMap((path) => {
    const value = set[path];
    if (value === undefined || !isSet(path, value)) return [];
    return [{ path, value: JSON.stringify(printValue(path, value)), ...useOf(path, mode) }];
  });
}

function useOf(path: FieldPath, mode: Mode): Pick<FieldReport, 'use' | 'note'> {
  const { use, note, modes } = fieldOf(path);
  if (modes === undefined || modes.includes(mode)) return { use, note };
  return { use: 'ignored', note: `it counts in mode ${modes.join(' and ')} only, and the mode is ${mode}` };
}

/** "ignored   ipvs.strictARP: true (no virtual address ...)" */
export function formatReport({ path, value, use, note }: FieldReport): string {
  return `${use.padEnd(9)} ${path}: ${value}${note === undefined ? '' : ` (${note})`}`;
}
