// SPDX-License-Identifier: Apache-2.0
// Loads the native addon and types what it exports; the classes of this folder are the way to use it.
import { createRequire } from 'node:module';
import { EnvironmentError, SystemError } from '../errors.ts';
import { builtFile } from './build-folder.ts';
import type { AddressRecord, LinkRecord, NetworkEvent } from './network-records.ts';
import type { SocketRecord } from './socket-record.ts';

export interface NativeDescriptor {
  pin(path: string): void;
  close(): void;
}

export interface NativeMap extends NativeDescriptor {
  readonly fd: number;
  info(): {
    readonly id: number;
    readonly name: string;
    readonly type: string;
    readonly keySize: number;
    readonly valueSize: number;
    readonly crossingSize: number;
    readonly maxEntries: number;
    readonly flags: number;
  };
  lookup(key: Uint8Array): Buffer | undefined;
  update(key: Uint8Array, value: Uint8Array, flags: number): void;
  delete(key: Uint8Array): boolean;
  nextKey(previous: Uint8Array | undefined): Buffer | undefined;
  lookupBatch(
    place: Uint8Array | undefined,
    count: number,
  ): {
    readonly keys: Buffer;
    readonly values: Buffer;
    readonly count: number;
    readonly next: Buffer | undefined;
  };
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number, flags: number): number;
  deleteBatch(keys: Uint8Array, count: number): number;
}

export interface NativeProgram extends NativeDescriptor {
  readonly fd: number;
  info(): {
    readonly id: number;
    readonly name: string;
    readonly type: string;
    readonly tag: Buffer;
    readonly instructionCount: number;
    readonly verifiedInstructionCount: number;
  };
  testRun(
    data: Uint8Array | undefined,
    context: Uint8Array | undefined,
    repeat: number,
    flags: number,
    dataOutSize: number,
    contextOutSize: number,
  ): {
    readonly returnValue: number;
    readonly durationNs: number;
    readonly data: Buffer;
    readonly dataSize: number;
    readonly context: Buffer;
    readonly contextSize: number;
  };
}

export interface NativeLink extends NativeDescriptor {
  info(): {
    readonly id: number;
    readonly type: number;
    readonly programId: number;
    readonly ifindex: number;
    readonly deviceAttachType: number;
    readonly cgroupAttachType: number;
  };
  update(program: NativeProgram): void;
  detach(): void;
}

/** A map as an object file defines it. */
export interface MapDefinition {
  readonly name: string;
  /** As bpftool spells it: "hash", "lru_hash", "percpu_array", ... */
  readonly type: string;
  readonly keySize: number;
  /** Of one CPU's value in a per-CPU map. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Whether it holds a section of global variables (.rodata, .data, .bss). */
  readonly isSection: boolean;
}

/** A program as an object file defines it. */
export interface ProgramDefinition {
  readonly name: string;
  /** The ELF section: "tc", "xdp", "cgroup/connect4", ... */
  readonly section: string;
  /** As bpftool spells it: "sched_cls", "xdp", "cgroup_sock_addr", "syscall", ... */
  readonly type: string;
  /** enum bpf_attach_type that it expects. */
  readonly attachType: number;
  readonly isAutoload: boolean;
}

export interface NativeObject {
  load(): void;
  btf(): Buffer | undefined;
  maps(): (MapDefinition & { readonly keyType: number; readonly valueType: number })[];
  programs(): ProgramDefinition[];
  openMap(name: string): NativeMap;
  openProgram(name: string): NativeProgram;
  setMaxEntries(map: string, maxEntries: number): void;
  reuseMap(map: string, reused: NativeMap): void;
  setAutoload(program: string, isAutoload: boolean): void;
  close(): void;
}

export interface NativeNetworkWatch {
  setReferenced(isReferenced: boolean): void;
  close(): void;
}

interface Addon {
  initialize(systemError: typeof SystemError): void;
  openObject(file: Uint8Array, path: string): NativeObject;
  openPinnedMap(path: string): NativeMap;
  openPinnedProgram(path: string): NativeProgram;
  openPinnedLink(path: string): NativeLink;
  possibleCpus(): number;
  createLink(program: NativeProgram, target: number, attachType: number, flags: number): NativeLink;
  attachTypeOf(section: string): number;
  createClsact(ifindex: number): void;
  attachTc(
    program: NativeProgram,
    ifindex: number,
    isEgress: boolean,
    handle: number,
    priority: number,
  ): void;
  detachTc(ifindex: number, isEgress: boolean, handle: number, priority: number): void;
  queryTc(ifindex: number, isEgress: boolean, handle: number, priority: number): number;
  dumpNetwork(isAddresses: false): LinkRecord[];
  dumpNetwork(isAddresses: true): AddressRecord[];
  watchNetwork(
    callback: (events: readonly NetworkEvent[] | undefined, error: Error | undefined) => void,
  ): NativeNetworkWatch;
  dumpSockets(family: 4 | 6, protocol: number, states: number, peerPort: number): SocketRecord[];
  destroySocket(family: 4 | 6, protocol: number, id: Uint8Array): void;
  mountBpf(path: string): void;
  isBpf(path: string): boolean;
  netnsCookie(): bigint;
  tickNs(): number;
}

const addonPath = builtFile('Release/bpvs.node');

function load(): Addon {
  let loaded: Addon;
  try {
    loaded = createRequire(import.meta.url)(addonPath);
  } catch (cause) {
    throw new EnvironmentError(explain(cause), { cause });
  }
  loaded.initialize(SystemError);
  return loaded;
}

/** What is wrong with the addon, and what to do about it. */
function explain(cause: unknown): string {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const library = /lib(bpf|mnl)\.so\.\d+/.exec(reason)?.[0];
  if (library !== undefined) {
    const debianPackage = library.replace('.so.', '');
    return `The addon needs the shared library ${library}: apt-get install ${debianPackage} (${reason})`;
  }
  if (reason.startsWith('Cannot find module')) {
    return `The addon ${addonPath} is not built: run npm run build:native`;
  }
  return `The addon ${addonPath} does not load; npm run build:native -- --force builds it anew (${reason})`;
}

/** The addon, loaded with the first module of this folder that is imported. Throws EnvironmentError. */
export const addon: Addon = load();
