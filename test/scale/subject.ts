// SPDX-License-Identifier: Apache-2.0
// What is measured: a proxy on a node, and how a run asks it.
import type { Change } from './operator.ts';

export interface Subject extends AsyncDisposable {
  readonly name: string;
  /** Starts it, and resolves with the seconds until everything is programmed. */
  start(): Promise<number>;
  /** Ends it and removes all that it has programmed. */
  stop(): Promise<void>;
  residentMiB(): number;
  /** Since its start, children included. */
  cpuMs(): number;
  /**
   * Has the first endpoint of a Service become ready, or cease to be.
   * @returns the change, and when it was seen programmed: `clockMs`
   */
  change(service: number, isReady: boolean): Promise<Change & { readonly programmedMs: number }>;
}
