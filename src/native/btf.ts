// SPDX-License-Identifier: Apache-2.0
// Reads BTF, the type information of an object file: struct layouts, enums, and where global variables lie.
// Source: Documentation/bpf/btf.rst of the Linux kernel.

export interface FieldLayout {
  /** Fields of an anonymous union or struct come as their parent's; of a field of unnamed type as "field.inner". */
  readonly name: string;
  /** From the start of the struct, in bytes. */
  readonly offset: number;
  /** Of the whole field in bytes: of all elements together in an array. */
  readonly size: number;
  /** Of an element where it is an array. Arrays of single bytes are "bytes"; enums, booleans and pointers are integers. */
  readonly kind: 'unsigned' | 'signed' | 'bytes' | 'struct';
  /** The name of the struct or union, for kind "struct". */
  readonly struct?: string;
  /** The number of elements, of an array that is not "bytes". */
  readonly count?: number;
  /** Declared as __be16, __be32 or __be64: its bytes stand in network order. */
  readonly isNetworkOrder?: true;
}

export interface StructLayout {
  readonly name: string;
  readonly size: number;
  /** In the order of the C source. */
  readonly fields: readonly FieldLayout[];
}

const kinds = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  functionPrototype: 13,
  variable: 14,
  section: 15,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

const transparentKinds: readonly number[] = [
  kinds.typedef,
  kinds.volatile,
  kinds.const,
  kinds.restrict,
  kinds.typeTag,
];

/** The bytes after a type's three words: a fixed number, and one for each of its members. */
const tails = new Map<number, { readonly fixed: number; readonly each: number }>([
  [kinds.int, { fixed: 4, each: 0 }],
  [kinds.array, { fixed: 12, each: 0 }],
  [kinds.struct, { fixed: 0, each: 12 }],
  [kinds.union, { fixed: 0, each: 12 }],
  [kinds.enum, { fixed: 0, each: 8 }],
  [kinds.functionPrototype, { fixed: 0, each: 8 }],
  [kinds.variable, { fixed: 4, each: 0 }],
  [kinds.section, { fixed: 0, each: 12 }],
  [kinds.declarationTag, { fixed: 4, each: 0 }],
  [kinds.enum64, { fixed: 0, each: 12 }],
]);

interface Type {
  readonly name: string;
  readonly kind: number;
  /** kind_flag: bit fields in a struct, signed values in an enum. */
  readonly flag: boolean;
  readonly memberCount: number;
  /** A size in bytes or the id of another type, by kind. */
  readonly sizeOrType: number;
  /** Where the kind's own data starts. */
  readonly tail: number;
}

interface Element {
  readonly element: Type;
  readonly count?: number;
  readonly isNetworkOrder: boolean;
}

/** The types of one object file. Methods throw RangeError for names that it does not have. */
export class Btf {
  readonly #bytes: Buffer;
  readonly #isLittleEndian: boolean;
  readonly #stringsStart: number;
  /** By id; 0 is void. */
  readonly #types: Type[] = [{ name: '', kind: 0, flag: false, memberCount: 0, sizeOrType: 0, tail: 0 }];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#isLittleEndian = bytes[0] === 0x9f;
    const headerLength = this.#u32(4);
    const typesStart = headerLength + this.#u32(8);
    this.#stringsStart = headerLength + this.#u32(16);
    const typesEnd = typesStart + this.#u32(12);
    for (let position = typesStart; position < typesEnd; ) {
      const type = this.#readType(position);
      const { fixed, each } = tails.get(type.kind) ?? { fixed: 0, each: 0 };
      position = type.tail + fixed + each * type.memberCount;
      this.#types.push(type);
    }
  }

  /** The exact layout of a named struct or union. Throws RangeError for bit fields too. */
  layout(name: string): StructLayout {
    const type = this.#find(name, [kinds.struct, kinds.union]);
    return { name, size: type.sizeOrType, fields: this.#fields(type, '', 0) };
  }

  /** Whether the object's types include a struct or union of this name. */
  hasStruct(name: string): boolean {
    return this.#types.some(
      (type) => type.name === name && (type.kind === kinds.struct || type.kind === kinds.union),
    );
  }

  /** The values of a named enum; those of 64 bits must be safe integers. */
  enumeration(name: string): Readonly<Record<string, number>> {
    const type = this.#find(name, [kinds.enum, kinds.enum64]);
    const values: Record<string, number> = {};
    for (const position of this.#members(type)) {
      const low = this.#u32(position + 4);
      const high = type.kind === kinds.enum64 ? this.#u32(position + 8) : 0;
      const value = (BigInt(high) << 32n) | BigInt(low);
      const bits = type.kind === kinds.enum64 ? 64 : 32;
      values[this.#string(position)] = Number(type.flag ? BigInt.asIntN(bits, value) : value);
    }
    return values;
  }

  /** The name of the struct or union that a type id stands for; undefined for other types. */
  structName(id: number): string | undefined {
    const { type } = this.#resolve(id);
    return isComposite(type) && type.name !== '' ? type.name : undefined;
  }

  #fields(type: Type, prefix: string, base: number): FieldLayout[] {
    return [...this.#members(type)].flatMap((position) => {
      const bits = this.#u32(position + 8);
      const name = prefix + this.#string(position);
      if (bits % 8 !== 0 || (type.flag && bits >>> 24 !== 0)) {
        throw new RangeError(`Expected whole bytes for field ${name} of ${type.name} but met a bit field`);
      }
      return this.#field(name, base + bits / 8, this.#u32(position + 4));
    });
  }

  #field(name: string, offset: number, id: number): FieldLayout[] {
    const { element, count, isNetworkOrder } = this.#element(id);
    if (isComposite(element) && element.name === '' && count === undefined) {
      return this.#fields(element, name === '' || name.endsWith('.') ? name : `${name}.`, offset);
    }
    const elementSize = element.kind === kinds.pointer ? 8 : element.sizeOrType;
    const place = { name, offset, size: elementSize * (count ?? 1) };
    const times = count === undefined ? {} : { count };
    if (isComposite(element)) return [{ ...place, kind: 'struct', struct: element.name, ...times }];
    if (count !== undefined && elementSize === 1) return [{ ...place, kind: 'bytes' }];
    const kind = this.#isSigned(element) ? 'signed' : 'unsigned';
    return [{ ...place, kind, ...times, ...(isNetworkOrder ? { isNetworkOrder } : {}) }];
  }

  /** What an array, of any number of dimensions, has how many of. */
  #element(id: number): Element {
    const { type, isNetworkOrder } = this.#resolve(id);
    if (type.kind !== kinds.array) return { element: type, isNetworkOrder };
    const inner = this.#element(this.#u32(type.tail));
    return { ...inner, count: this.#u32(type.tail + 8) * (inner.count ?? 1) };
  }

  #isSigned(type: Type): boolean {
    if (type.kind === kinds.enum || type.kind === kinds.enum64) return type.flag;
    return type.kind === kinds.int && ((this.#u32(type.tail) >>> 24) & 1) === 1;
  }

  /** The type behind its names and qualifiers. */
  #resolve(id: number): { readonly type: Type; readonly isNetworkOrder: boolean } {
    let type = this.#type(id);
    let isNetworkOrder = false;
    while (transparentKinds.includes(type.kind)) {
      isNetworkOrder ||= type.kind === kinds.typedef && /^__be(16|32|64)$/.test(type.name);
      type = this.#type(type.sizeOrType);
    }
    return { type, isNetworkOrder };
  }

  #find(name: string, among: readonly number[]): Type {
    const type = this.#types.find((candidate) => candidate.name === name && among.includes(candidate.kind));
    if (type === undefined)
      throw new RangeError(`Expected the name of a type in the object but received ${name}`);
    return type;
  }

  #type(id: number): Type {
    const type = this.#types[id];
    if (type === undefined)
      throw new RangeError(`Expected the id of a type in the object but received ${id}`);
    return type;
  }

  *#members(type: Type): Generator<number> {
    const each = tails.get(type.kind)?.each ?? 0;
    for (let i = 0; i < type.memberCount; i++) yield type.tail + i * each;
  }

  #readType(position: number): Type {
    const info = this.#u32(position + 4);
    return {
      name: this.#string(position),
      kind: (info >>> 24) & 0x1f,
      flag: info >>> 31 === 1,
      memberCount: info & 0xffff,
      sizeOrType: this.#u32(position + 8),
      tail: position + 12,
    };
  }

  /** The string whose offset stands at a position. */
  #string(position: number): string {
    const start = this.#stringsStart + this.#u32(position);
    return this.#bytes.toString('utf8', start, this.#bytes.indexOf(0, start));
  }

  #u32(position: number): number {
    return this.#isLittleEndian ? this.#bytes.readUInt32LE(position) : this.#bytes.readUInt32BE(position);
  }
}

function isComposite(type: Type): boolean {
  return type.kind === kinds.struct || type.kind === kinds.union;
}
