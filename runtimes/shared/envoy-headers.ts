/** What Envoy does with certain headers, for runtimes whose scripts and modules were written for it. */

/** Headers that Envoy 1.40 keeps as one value (observed): adding to them makes a list. */
const BOTH_INLINE =
  'cache-control connection content-encoding content-length content-type keep-alive proxy-connection proxy-status transfer-encoding upgrade via x-envoy-attempt-count x-request-id'.split(
    ' ',
  );
const REQUEST_INLINE = new Set([
  ...BOTH_INLINE,
  ...'accept accept-encoding access-control-request-headers access-control-request-method access-control-request-private-network authorization expect grpc-accept-encoding grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since origin pragma referer te user-agent x-client-trace-id x-envoy-original-path x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto'.split(
    ' ',
  ),
]);
const RESPONSE_INLINE = new Set([
  ...BOTH_INLINE,
  ...'access-control-allow-credentials access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-allow-private-network access-control-expose-headers access-control-max-age age date etag expires grpc-message grpc-status last-modified location server vary'.split(
    ' ',
  ),
]);

/** Whether adding to that header makes a list of its one value, instead of a second field. */
export function isInlineHeader(name: string, response: boolean): boolean {
  return (response ? RESPONSE_INLINE : REQUEST_INLINE).has(name.toLowerCase());
}
