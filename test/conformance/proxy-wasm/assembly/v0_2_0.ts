/** The probe for ABI 0.2.0. */
export { abort } from "./probe";
export * from "./callbacks";
export function proxy_abi_version_0_2_0(): void {}
