// SPDX-License-Identifier: Apache-2.0
// An object file of compiled BPF programs: open it, set it up, load it, take its maps and programs.
import { readFileSync } from 'node:fs';
import { EnvironmentError, LayoutError } from '../errors.ts';
import { addon, type MapDefinition, type NativeObject, type ProgramDefinition } from './addon.ts';
import { BpfMap } from './bpf-map.ts';
import { BpfProgram } from './bpf-program.ts';
import { Btf, type StructLayout } from './btf.ts';

export type { MapDefinition, ProgramDefinition } from './addon.ts';
export type { FieldLayout, StructLayout } from './btf.ts';

/** What to put in the place of a number of 64 bits in an instruction; the number itself where it stays. */
export type Substitute = (immediate: bigint) => bigint;

/**
 * Opens an object file. Throws EnvironmentError where it cannot be read; SystemError: EINVAL (`log` says why) when it is
 * no BPF object; what `substitute` throws.
 */
export function openObject(path: string, substitute: Substitute = (immediate) => immediate): BpfObject {
  const file = readObject(path);
  substituteImmediates(file, substitute);
  return new BpfObject(addon.openObject(file, path));
}

function readObject(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const remedy = reason.startsWith('ENOENT') ? ': npm run build:bpf makes it' : '';
    throw new EnvironmentError(`The BPF object ${path} cannot be read${remedy} (${reason})`, { cause });
  }
}

/** BPF_LD | BPF_DW | BPF_IMM, the one instruction of two words: half of the number is at the end of each. */
const loadImmediate = 0x18;
const wordSize = 8;
const halfOffset = 4;

/** Sections of code begin at multiples of a word. What else looks like such an instruction has no number of ours. */
function substituteImmediates(file: Buffer, substitute: Substitute): void {
  for (let at = 0; at + 2 * wordSize <= file.length; at += wordSize) {
    if (file[at] !== loadImmediate || file[at + wordSize] !== 0) continue;
    const [low, high] = [at + halfOffset, at + wordSize + halfOffset];
    const before = (BigInt(file.readUInt32LE(high)) << 32n) | BigInt(file.readUInt32LE(low));
    const after = substitute(before);
    if (after === before) continue;
    file.writeUInt32LE(Number(after & 0xffffffffn), low);
    file.writeUInt32LE(Number(after >> 32n), high);
  }
}

/**
 * An open object file. Throws SystemError throughout: ENOENT for names that it does not have, EBUSY and EINVAL for what has
 * to come before load, EBADF after close.
 */
export class BpfObject implements Disposable {
  readonly #native: NativeObject;
  #btf: Btf | undefined;

  constructor(native: NativeObject) {
    this.#native = native;
  }

  /** Before load. */
  setMaxEntries(map: string, maxEntries: number): void {
    this.#native.setMaxEntries(map, maxEntries);
  }

  /**
   * Loads with an existing map in place of the one the object defines; its number of entries counts. Before load.
   * Throws LayoutError unless type and sizes agree.
   */
  reuseMap(name: string, map: BpfMap): void {
    const wanted = this.#definition(name);
    if (wanted !== undefined && describe(wanted) !== describe(map)) {
      throw new LayoutError(`Expected ${describe(wanted)} for map ${name} but received ${describe(map)}`);
    }
    this.#native.reuseMap(name, map.native);
  }

  /** Whether load takes the program too; before load. */
  setAutoload(program: string, isAutoload: boolean): void {
    this.#native.setAutoload(program, isAutoload);
  }

  /** Creates the maps and loads the programs. Throws SystemError with the `log` of verifier and libbpf. */
  load(): void {
    this.#native.load();
  }

  /** A map of the loaded object; it lives on when the object is closed. `.data` names a section's map. The caller closes it. */
  map(name: string): BpfMap {
    return new BpfMap(this.#native.openMap(name));
  }

  /** A program of the loaded object; it lives on when the object is closed. The caller closes it. */
  program(name: string): BpfProgram {
    return new BpfProgram(this.#native.openProgram(name));
  }

  maps(): readonly MapDefinition[] {
    return this.#native.maps();
  }

  programs(): readonly ProgramDefinition[] {
    return this.#native.programs();
  }

  /** The exact layout of a named struct or union. Throws RangeError when the object has none. */
  layout(structName: string): StructLayout {
    return this.#types().layout(structName);
  }

  /** Whether any of the object's programs or maps knows a struct of this name. */
  hasStruct(name: string): boolean {
    return this.#types().hasStruct(name);
  }

  /** The values of a named enum. Throws RangeError when the object has none. */
  enumeration(enumName: string): Readonly<Record<string, number>> {
    return this.#types().enumeration(enumName);
  }

  /** The names of the structs that a map's keys and values are; undefined for other types. */
  mapTypes(mapName: string): { readonly key: string | undefined; readonly value: string | undefined } {
    const definition = this.#definition(mapName);
    if (definition === undefined) throw new RangeError(`Expected the name of a map but received ${mapName}`);
    const types = this.#types();
    return { key: types.structName(definition.keyType), value: types.structName(definition.valueType) };
  }

  /** Frees the object; maps and programs taken from it live on. Idempotent. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #definition(name: string): ReturnType<NativeObject['maps']>[number] | undefined {
    return this.#native.maps().find((map) => map.name === name || (map.isSection && map.name.endsWith(name)));
  }

  #types(): Btf {
    if (this.#btf === undefined) {
      const bytes = this.#native.btf();
      if (bytes === undefined) throw new RangeError('Expected an object with BTF; compile it with -g');
      this.#btf = new Btf(bytes);
    }
    return this.#btf;
  }
}

function describe({ type, keySize, valueSize }: Pick<BpfMap, 'type' | 'keySize' | 'valueSize'>): string {
  return `${type} of ${keySize} byte keys and ${valueSize} byte values`;
}
