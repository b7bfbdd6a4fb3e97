// SPDX-License-Identifier: Apache-2.0
// Links that are pinned, each under a name that says what it attaches: they outlive the process, and the next one finds them.
import { existsSync, readdirSync, unlinkSync } from 'node:fs';
import { SystemError } from '../../errors.ts';
import { BpfLink } from '../../native/bpf-link.ts';
import type { BpfProgram } from '../../native/bpf-program.ts';
import { pinExists } from './pin-directory.ts';

export function linkPins(pinDirectory: string): readonly string[] {
  const folder = `${pinDirectory}/links`;
  return pinExists(folder) ? readdirSync(folder) : [];
}

/** Updates the pinned link to the program, or makes a new one if it is missing or has lost what it was attached to. */
export function attachLink(
  pinDirectory: string,
  pin: string,
  program: BpfProgram,
  attach: (program: BpfProgram) => BpfLink,
  ifindex?: number,
): void {
  const path = linkPath(pinDirectory, pin);
  if (existsSync(path) && adoptLink(path, program, ifindex)) return;
  removeLink(pinDirectory, pin);
  using link = attach(program);
  link.pin(path);
}

/** Whether a link is pinned and attached to this device: others may detach it, an index may be another device's now. */
export function isLinkAttached(pinDirectory: string, pin: string, ifindex: number): boolean {
  const path = linkPath(pinDirectory, pin);
  if (!existsSync(path)) return false;
  using link = BpfLink.openPinned(path);
  return link.info().ifindex === ifindex;
}

/** Detaches at once, even if someone else holds the link. @returns whether it was there */
export function removeLink(pinDirectory: string, pin: string): boolean {
  const path = linkPath(pinDirectory, pin);
  if (!existsSync(path)) return false;
  using link = BpfLink.openPinned(path);
  try {
    link.detach();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error; // what it was attached to is gone: then so is the attachment
  }
  unlinkSync(path);
  return true;
}

/** @returns whether the link is alive and runs the program now */
function adoptLink(path: string, program: BpfProgram, ifindex: number | undefined): boolean {
  using link = BpfLink.openPinned(path);
  if (link.info().ifindex !== ifindex) return false;
  try {
    link.update(program);
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOLINK') return false;
    throw error;
  }
}

function linkPath(pinDirectory: string, pin: string): string {
  return `${pinDirectory}/links/${pin}`;
}
