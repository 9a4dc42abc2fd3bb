/** Every runtime that ships with Weir, in the order in which they are asked whether a file is theirs. */
import type { FilterRuntime } from '../src/abi/index.ts';
import { createAssemblyScriptRuntime } from './assemblyscript/index.ts';
import { createComponentRuntime } from './component/index.ts';
import { createLuaRuntime } from './lua/index.ts';
import { createModuleRuntime } from './module/index.ts';
import { createNativeRuntime } from './native/index.ts';
import { createPluginRuntime } from './plugin/index.ts';
import { createProxyWasmRuntime } from './proxy-wasm/index.ts';

/** New runtimes for one data plane. */
export function createRuntimes(): FilterRuntime[] {
  return [
    createNativeRuntime(),
    createModuleRuntime(),
    createLuaRuntime(),
    createAssemblyScriptRuntime(),
    createComponentRuntime(),
    createProxyWasmRuntime(),
    createPluginRuntime(),
  ];
}
