// SPDX-License-Identifier: Apache-2.0
// An object file of compiled BPF programs: open it, set it up, load it, take its maps and programs.
import { LayoutError } from '../errors.ts';
import { addon, type MapDefinition, type NativeObject, type ProgramDefinition } from './addon.ts';
import { BpfMap } from './bpf-map.ts';
import { BpfProgram } from './bpf-program.ts';
import { Btf, type StructLayout, type VariableLocation } from './btf.ts';

export type { MapDefinition, ProgramDefinition } from './addon.ts';
export type { FieldLayout, StructLayout, VariableLocation } from './btf.ts';

/** Opens an object file. Throws SystemError: ENOENT; EINVAL (`log` says why) when it is no BPF object. */
export function openObject(path: string): BpfObject {
  return new BpfObject(addon.openObject(path));
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

  /** Sets the initial value of a global variable, of exactly its size. Before load. */
  setVariable(name: string, bytes: Uint8Array): void {
    const { map, offset, size } = this.variable(name);
    if (bytes.length !== size) {
      throw new TypeError(`Expected ${size} bytes for variable ${name} but received ${bytes.length}`);
    }
    const section = this.#native.initialValue(map);
    section.set(bytes, offset);
    this.#native.setInitialValue(map, section);
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

  /** Whether any of the object's programs reads or writes a global variable of this name. */
  hasVariable(name: string): boolean {
    return this.#types().variable(name) !== undefined;
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

  /** Where a global variable lies: after load, in the value of key 0 of its section's map. Throws RangeError. */
  variable(name: string): VariableLocation {
    const location = this.#types().variable(name);
    if (location === undefined)
      throw new RangeError(`Expected the name of a global variable but received ${name}`);
    return location;
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
