/** `weir inspect FILE`: what a WebAssembly file is, what it needs and what it offers. */
import { readFileSync } from 'node:fs';
import { abiVersion, faultsOf } from '../../runtimes/proxy-wasm/machine.ts';
import {
  isComponent,
  Reader,
  type Section,
  SectionId,
  sectionsOf,
  WasmFormatError,
} from '../../runtimes/shared/wasm/binary.ts';
import { WasmModule } from '../../runtimes/shared/wasm/module.ts';
import { messageOf } from '../errors.ts';

const PAGE = 65_536;
/** Larger than any module asks for: only what it is is looked at. */
const ANY_LIMITS = { memory: 2 ** 32, instructions: 1 };

/** The file can't be read. */
export class InspectError extends Error {
  override readonly name = 'InspectError';
}

/** The report as text. @throws InspectError */
export async function inspectWasm(path: string): Promise<string> {
  const bytes = read(path);
  const lines = [`${path}: ${bytes.length} bytes`];
  try {
    lines.push(...(isComponent(bytes) ? await describeComponent(bytes) : describeModule(bytes)));
  } catch (error) {
    if (!(error instanceof WasmFormatError)) throw error;
    lines.push(`not usable: ${error.message}`);
  }
  return `${lines.join('\n')}\n`;
}

function read(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new InspectError(`can't read ${path}: ${messageOf(error)}`);
  }
}

function describeModule(bytes: Uint8Array): string[] {
  const sections = sectionsOf(bytes);
  const module = new WasmModule(bytes, '', ANY_LIMITS);
  const names = module.exportNames;
  const version = abiVersion(names);
  const isAssemblyScript = names.includes('__rtti_base') && version === undefined;
  const kind =
    version !== undefined
      ? `Proxy-Wasm module, ABI ${version}`
      : isAssemblyScript
        ? 'AssemblyScript module (runtime assemblyscript)'
        : 'core module of no known ABI';
  const faults = isAssemblyScript ? [] : faultsOf(module);
  return [
    `kind: ${kind}`,
    ...(faults.length > 0 ? [`can't run as Proxy-Wasm: ${faults.join('; ')}`] : []),
    `memory: ${memoryOf(bytes, sections)}`,
    ...customLines(bytes, sections),
    ...list(
      'imports',
      module.imports.map((one) => `${one.module}.${one.name}`),
    ),
    ...list('exports', names),
  ];
}

async function describeComponent(bytes: Uint8Array): Promise<string[]> {
  const { Component } = await import('../../runtimes/component/transpile.ts');
  try {
    const component = await Component.load(bytes, ANY_LIMITS);
    const hooks = component.exports.filter((name) => name.startsWith('on'));
    return [
      `kind: component${hooks.length > 0 ? ' of the package weir:filter' : ''}`,
      ...list('imports', component.imports),
      ...list('exports', component.exports),
    ];
  } catch (error) {
    return ['kind: component', `not usable: ${messageOf(error)}`];
  }
}

function memoryOf(bytes: Uint8Array, sections: readonly Section[]): string {
  const section = sections.find(({ id }) => id === SectionId.Memory);
  if (section === undefined) return 'none of its own';
  const reader = new Reader(bytes, section.start, section.end);
  reader.u32();
  const flags = reader.byte();
  const initial = `${(reader.u32() * PAGE) / 1024} KiB at first`;
  return flags === 1 ? `${initial}, at most ${(reader.u32() * PAGE) / 1024} KiB` : `${initial}, no maximum of its own`;
}

/** Who made it, and whether it has names and lines for traps. Source: WebAssembly tool conventions, "producers section". */
function customLines(bytes: Uint8Array, sections: readonly Section[]): string[] {
  const lines: string[] = [];
  const customs = sections
    .filter(({ id }) => id === SectionId.Custom)
    .map(({ start, end }) => new Reader(bytes, start, end));
  const named = customs.map((reader) => ({ name: reader.name(), reader }));
  const producers = named.find(({ name }) => name === 'producers')?.reader;
  if (producers !== undefined) {
    const found: string[] = [];
    for (let fields = producers.u32(); fields > 0; fields--) {
      producers.name();
      for (let values = producers.u32(); values > 0; values--)
        found.push(`${producers.name()} ${producers.name()}`.trim());
    }
    lines.push(`producers: ${found.join(', ')}`);
  }
  const has = (name: string) => named.some((one) => one.name === name);
  lines.push(`function names: ${has('name') ? 'yes' : 'no, traps show numbers'}`);
  return lines;
}

function list(title: string, names: readonly string[]): string[] {
  return [`${title}:${names.length === 0 ? ' none' : ''}`, ...names.toSorted().map((name) => `  ${name}`)];
}
