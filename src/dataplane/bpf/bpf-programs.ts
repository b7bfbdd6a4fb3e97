// SPDX-License-Identifier: Apache-2.0
// Loading the programs over their maps: new ones on a fresh node, the pinned ones of an earlier process otherwise.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { EnvironmentError, LayoutError, SystemError } from '../../errors.ts';
import type { Direction } from '../../native/bpf-link.ts';
import { BpfMap, unpin } from '../../native/bpf-map.ts';
import { type BpfObject, openObject } from '../../native/bpf-object.ts';
import type { BpfProgram } from '../../native/bpf-program.ts';
import { builtFile } from '../../native/build-folder.ts';
import { BpfMaps, entriesFor, type MapName, mapNames, mapPin, onlyKey } from './bpf-maps.ts';
import { loadTimeConstants } from './constants.ts';
import { layouts } from './layouts.ts';
import type { BpfOptions } from './options.ts';
import { preparePins, requireRights } from './pin-directory.ts';
import { contextWith, noPacket } from './program-pins.ts';
import { ProgramSet } from './program-set.ts';
import { decode, type StructLayout } from './struct.ts';

const objectFiles = ['tc', 'translate', 'handlers', 'outside', 'xdp', 'sweep', 'statistics'] as const;

const socketsFile = 'cgroup';

/** In place of a hook of the others, where the option asks for it. */
const localRedirectFile = 'local';

/** Those for devices, which are built once more for packets without link header (bpf/lib/link.h). */
const deviceFiles: ReadonlySet<string> = new Set([
  'tc',
  'translate',
  'handlers',
  'outside',
  localRedirectFile,
]);

const linklessRetryMs = 60_000;

function objectPath(name: string): string {
  return builtFile(`bpf/${name}.bpf.o`);
}

/** The loaded programs and their maps. Closing it leaves what is pinned. */
export class BpfPrograms implements Disposable {
  readonly maps: BpfMaps;
  readonly isAdopted: boolean;
  /** The secret of the hashes in the map `flows`; whoever writes the settings writes it. */
  readonly flowSeed: bigint;
  readonly #set: ProgramSet;
  readonly #loadLinkless: () => ProgramSet;
  /** Few nodes have devices without link header. */
  #linkless: ProgramSet | undefined;
  #linklessFailure: { readonly error: unknown; readonly atMs: number } | undefined;
  #hasFilledHandlers = false;

  private constructor(
    maps: BpfMaps,
    set: ProgramSet,
    loadLinkless: () => ProgramSet,
    isAdopted: boolean,
    flowSeed: bigint,
  ) {
    this.maps = maps;
    this.flowSeed = flowSeed;
    this.isAdopted = isAdopted;
    this.#set = set;
    this.#loadLinkless = loadLinkless;
  }

  /**
   * Loads the programs in the network namespace of the calling thread, whose sockets count as the host's.
   * Throws SystemError with the verifier's log, LayoutError, EnvironmentError, InputError.
   */
  static load(options: BpfOptions): BpfPrograms {
    const { pinDirectory } = options;
    requireRights();
    if (pinDirectory !== undefined) preparePins(pinDirectory);
    const isAdopted = pinDirectory !== undefined && hasSettings(pinDirectory);
    const maps = new Map<MapName, BpfMap>();
    if (isAdopted) {
      const adopted = BpfMaps.openPinned(pinDirectory);
      for (const name of mapNames) maps.set(name, adopted.get(name));
    }
    const flowSeed = isAdopted ? readFlowSeed(maps.get('settings')) : randomBytes(8).readBigUInt64LE();
    const files = filesFor(options);
    const linklessFiles = files.filter((file) => deviceFiles.has(file)).map((file) => `linkless-${file}`);
    const load = (names: readonly string[]) => loadSet(names, options, maps, flowSeed);
    try {
      const set = load(files);
      const programs = new BpfPrograms(
        new BpfMaps(maps),
        set,
        () => load(linklessFiles),
        isAdopted,
        flowSeed,
      );
      if (!isAdopted) programs.fillHandlers();
      if (pinDirectory !== undefined && !isAdopted) pinMaps(maps, pinDirectory);
      return programs;
    } catch (error) {
      for (const map of maps.values()) map.close();
      throw error;
    }
  }

  program(name: string): BpfProgram {
    return this.#set.program(name);
  }

  /**
   * The program for the devices that clients and destinations use. Those for devices without link header are loaded when the first
   * one asks for them. Throws BpvsError, as load.
   */
  deviceProgram(direction: Direction, hasLinkHeader = true): BpfProgram {
    return (hasLinkHeader ? this.#set : this.#linklessSet()).deviceProgram(direction);
  }

  /** What does not load is tried again, but not for every device: it takes the verifier a second. */
  #linklessSet(): ProgramSet {
    if (this.#linkless) return this.#linkless;
    const { error, atMs } = this.#linklessFailure ?? { atMs: Number.NEGATIVE_INFINITY };
    if (performance.now() - atMs < linklessRetryMs) throw error;
    let set: ProgramSet | undefined;
    try {
      set = this.#loadLinkless();
      set.fillHandlers(this.maps.get('linkless_handlers'));
      this.#linkless = set;
      return set;
    } catch (error) {
      set?.close();
      this.#linklessFailure = { error, atMs: performance.now() };
      throw error;
    }
  }

  /** Runs a program that looks at no packet, with words for its skb->cb. @returns what it returned */
  run(name: string, words: readonly number[] = []): number {
    const context = words.length > 0 ? { context: contextWith(words) } : {};
    return this.program(name).testRun({ data: noPacket, ...context }).returnValue;
  }

  /**
   * Fills the slots of `handlers`, at the load of fresh maps, else before the first hook is attached: a process that ends before that
   * leaves everything as it was.
   */
  fillHandlers(): void {
    if (this.#hasFilledHandlers) return;
    this.#set.fillHandlers(this.maps.get('handlers'));
    this.#hasFilledHandlers = true;
  }

  close(): void {
    this.#set.close();
    this.#linkless?.close();
    this.maps.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function filesFor({ redirectsLocally = false, servesSockets = true }: BpfOptions): readonly string[] {
  return [
    ...objectFiles,
    ...(servesSockets ? [socketsFile] : []),
    ...(redirectsLocally ? [localRedirectFile] : []),
  ];
}

/** Whoever pinned the maps and ended before it wrote the settings left maps that nobody has used. */
function hasSettings(pinDirectory: string): boolean {
  const path = mapPin(pinDirectory, 'settings');
  if (!existsSync(path)) return false;
  using settings = BpfMap.openPinned(path);
  return settings.lookup(onlyKey)?.some((byte) => byte !== 0) ?? false;
}

/** `settings` comes last: where it is pinned, all are. What a process left that was ended in between is nobody's. */
function pinMaps(maps: ReadonlyMap<MapName, BpfMap>, pinDirectory: string): void {
  for (const name of [...mapNames.filter((each) => each !== 'settings'), 'settings'] as const) {
    const path = mapPin(pinDirectory, name);
    if (existsSync(path)) unpin(path);
    maps.get(name)?.pin(path);
  }
}

function loadSet(
  files: readonly string[],
  options: BpfOptions,
  maps: Map<MapName, BpfMap>,
  flowSeed: bigint,
): ProgramSet {
  const objects: BpfObject[] = [];
  try {
    for (const file of files) objects.push(loadObject(file, options, maps, flowSeed));
    return new ProgramSet(objects);
  } catch (error) {
    for (const object of objects) object.close();
    throw error;
  }
}

/** Maps that `maps` has already are shared, the others are made and added to it. */
function loadObject(
  file: string,
  options: BpfOptions,
  maps: Map<MapName, BpfMap>,
  flowSeed: bigint,
): BpfObject {
  const entriesOf = (name: MapName) => maps.get(name)?.maxEntries ?? entriesFor(name, options.sizes);
  const object = openObject(objectPath(file), loadTimeConstants(options, entriesOf, flowSeed));
  const defined = object.maps().flatMap(({ name }) => mapNames.find((known) => known === name) ?? []);
  const makesMaps = defined.some((name) => !maps.has(name));
  try {
    checkLayouts(object);
    for (const name of defined) {
      const existing = maps.get(name);
      const entries = entriesFor(name, options.sizes);
      if (existing) object.reuseMap(name, existing);
      else if (entries > 0) object.setMaxEntries(name, entries);
    }
    object.load();
    for (const name of defined) if (!maps.has(name)) maps.set(name, object.map(name));
    return object;
  } catch (error) {
    object.close();
    throw explainLoadError(error, makesMaps);
  }
}

function readFlowSeed(settings: BpfMap | undefined): bigint {
  const value = settings?.lookup(onlyKey);
  if (!value) throw new LayoutError('Expected the map settings to have an entry');
  return decode(layouts.settings, value).flow_seed;
}

/** The generated layouts must be those of the object that is about to be loaded. */
function checkLayouts(object: BpfObject): void {
  for (const [name, expected] of Object.entries<StructLayout>(layouts)) {
    if (!object.hasStruct(name)) continue;
    const found = object.layout(name);
    const isSame =
      found.size === expected.size &&
      found.fields.every(({ name, offset, size }) => {
        const field = expected.fields[name];
        return field !== undefined && field.offset === offset && field.size === size;
      });
    if (!isSame) {
      throw new LayoutError(
        `struct ${name} of the BPF object is laid out otherwise than src/dataplane/bpf/layouts.ts says; \`npm run gen\` mends it`,
      );
    }
  }
}

function explainLoadError(error: unknown, makesMaps: boolean): unknown {
  if (error instanceof SystemError && error.log?.includes('failed to iterate BTF objects: -')) {
    return new EnvironmentError(
      `CAP_SYS_ADMIN is needed too, as libbpf before 1.3 asks for the kernel's modules below Linux 6.2: ${error.message}`,
      { cause: error },
    );
  }
  if (!(makesMaps && error instanceof SystemError && ['ENOMEM', 'E2BIG'].includes(error.code))) return error;
  return new EnvironmentError(
    `The kernel has no memory for the maps, a lower --max-connections needs less: ${error.message}`,
    { cause: error },
  );
}
