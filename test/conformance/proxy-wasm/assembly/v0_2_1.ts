/** The probe for ABI 0.2.1. */
export { abort } from "./probe";
export * from "./callbacks";
export function proxy_abi_version_0_2_1(): void {}
