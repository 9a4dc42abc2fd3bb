/** Annotations for LuaLS (the Lua language server): all that Weir gives to a script. Source: LuaLS, "Annotations". */
import { classNameOf, HOOKS, kindNames, librarySignatures, type Signature, signaturesOf } from './signatures.ts';

export function luaTypes(): string {
  const parts = [
    '---@meta\n-- Weir: the API of Lua filters. Written by `weir lua-types`; put it where your editor looks for libraries.\n',
    '---@class envoy.CallOptions\n---@field asynchronous? boolean\n---@field timeout_ms? number\n---@field return_duplicate_headers? boolean\n---@field send_xff? boolean\n---@field trace_sampled? boolean\n',
    'EnvoyTimestampResolution = { MILLISECOND = 0, MICROSECOND = 1 }\n',
  ];
  for (const kind of kindNames) {
    const name = classNameOf(kind);
    const local = name.replace('envoy.', '');
    parts.push(`---@class ${name}\nlocal ${local} = {}\n`);
    for (const signature of signaturesOf(kind)) parts.push(functionText(`${local}:${signature.name}`, signature));
  }
  const library = librarySignatures();
  const tables = new Set(library.flatMap(({ name }) => (name.includes('.') ? [name.split('.')[0] as string] : [])));
  const members = [...tables].map((table) => `${table} = {}`).join(', ');
  parts.push(`---@class weirlib\n---@field config any The filter's \`config:\`.\nweir = { ${members} }\n`);
  for (const signature of library) parts.push(functionText(`weir.${signature.name}`, signature));
  for (const hook of HOOKS) parts.push(`---@param handle envoy.StreamHandle\nfunction ${hook}(handle) end\n`);
  return parts.join('\n');
}

function functionText(name: string, { parameters, returns, text }: Signature): string {
  const lines = [`---${text}`];
  const names: string[] = [];
  for (const parameter of parameters) {
    const colon = parameter.indexOf(':');
    const given = parameter.slice(0, colon);
    names.push(given.replace('?', ''));
    lines.push(`---@param ${given} ${parameter.slice(colon + 2)}`);
  }
  if (returns !== '') lines.push(`---@return ${returns}`);
  return `${lines.join('\n')}\nfunction ${name}(${names.join(', ')}) end\n`;
}
