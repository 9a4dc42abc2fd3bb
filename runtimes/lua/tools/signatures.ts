/**
 * What a script can call, with types and a line of explanation: for LuaLS's annotations and for `weir check`. A test compares it
 * with the implementation in both directions. One line a method: `name(parameters): results -- what it does`.
 */

export interface Signature {
  name: string;
  /** `name: type`, or `name?: type`. */
  parameters: readonly string[];
  /** As LuaLS writes them. */
  returns: string;
  text: string;
}

const LOGS = `logTrace(message: string|number) -- Writes a line to Weir's log.
logDebug(message: string|number) -- Writes a line to Weir's log.
logInfo(message: string|number) -- Writes a line to Weir's log.
logWarn(message: string|number) -- Writes a line to Weir's log.
logErr(message: string|number) -- Writes a line to Weir's log.
logCritical(message: string|number) -- Writes a line to Weir's log.`;

/** By kind of object: the class, and its methods besides the log's. */
const CLASSES: Readonly<Record<string, readonly [className: string, methods: string]>> = {
  handle: [
    'envoy.StreamHandle',
    `headers(): envoy.Headers -- The headers of this side.
requestHeaders(): envoy.Headers -- The request's headers, from either side.
body(always_wrap?: boolean): envoy.Buffer? -- Waits for the whole body; nothing when there is none, or an empty one with always_wrap.
bodyChunks(): fun(): envoy.Buffer? -- An iterator over the pieces of the body as they come; the last one is empty.
trailers(): envoy.Headers? -- Waits for the end of the body; nothing when no trailers follow.
respond(headers: table<string, string|number|string[]>, body?: string) -- Answers; the script does not go on.
httpCall(cluster: string, headers: table<string, string|number|string[]>, body: string?, timeout_or_options: number|envoy.CallOptions, asynchronous?: boolean): table<string, string>, string? -- Calls a cluster and waits for the answer.
metadata(): envoy.Metadata -- The route's metadata under the filter's name.
route(): envoy.Route -- The matched route.
virtualHost(): envoy.VirtualHost -- The matched route's virtual host.
filterContext(): envoy.Metadata -- The filter_context of the route, or else of the filter.
streamInfo(): envoy.StreamInfo -- Facts of the stream.
connection(): envoy.Connection -- The client's connection.
connectionStreamInfo(): envoy.ConnectionStreamInfo -- Facts of the connection.
stats(): envoy.Stats -- Counters, gauges and histograms.
importPublicKey(der: string, length: integer): envoy.PublicKey -- Reads a public key.
verifySignature(hash: string, key: string, signature: string, signature_length: integer, data: string, data_length: integer): boolean, string -- Whether a signature is right, and why not.
base64Escape(text: string): string -- Base64 of a text.
base64Decode(text: string): string? -- The text of base64; nil when it is none.
timestamp(resolution?: integer): number -- Milliseconds since 1970.
timestampString(resolution?: integer): string -- The same as text, in milliseconds or microseconds.
setUpstreamOverrideHost(host: string, strict?: boolean) -- Sends the request to that endpoint.
clearRouteCache() -- Matches the route again.
time_left(): number -- Milliseconds that this hook has left (Weir).`,
  ],
  headers: [
    'envoy.Headers',
    `get(name: string): string? -- The value; several are joined by a comma.
getAtIndex(name: string, index: integer): string? -- One of several values, from 0.
getNumValues(name: string): integer -- How many values there are.
add(name: string, value: string|number) -- Adds a value.
replace(name: string, value: string|number) -- Sets the one value.
remove(name: string) -- Removes all values.
setHttp1ReasonPhrase(phrase: string) -- Sets the phrase beside the status.`,
  ],
  buffer: [
    'envoy.Buffer',
    `length(): integer -- Bytes.
getBytes(index: integer, length: integer): string -- A part, from 0.
setBytes(bytes: string|number): integer -- Replaces all of it; gives the new length.`,
  ],
  metadata: ['envoy.Metadata', 'get(key: string): any -- A value.'],
  dynamicMetadata: [
    'envoy.DynamicMetadata',
    `get(filter: string): table<string, any>? -- A copy of what is under that name.
set(filter: string, key: string, value: any) -- Leaves a value for other filters and the access log.`,
  ],
  connectionMetadata: [
    'envoy.ConnectionDynamicMetadata',
    'get(filter: string): table<string, any>? -- A copy of what is under that name.',
  ],
  streamInfo: [
    'envoy.StreamInfo',
    `protocol(): string -- HTTP/1.0 or HTTP/1.1.
routeName(): string -- The matched route's name.
virtualClusterName(): string -- Empty: there are none in Weir.
requestedServerName(): string -- The name that the client asked for by TLS.
downstreamLocalAddress(): string -- ip:port that the client connected to.
downstreamDirectLocalAddress(): string -- ip:port that the client connected to.
downstreamRemoteAddress(): string -- ip:port of the client.
downstreamDirectRemoteAddress(): string -- ip:port of the peer.
dynamicMetadata(): envoy.DynamicMetadata -- Metadata of the stream.
dynamicTypedMetadata(filter: string): nil -- Nothing: there is none in Weir.
filterState(): envoy.FilterState -- Objects that filters share.
downstreamSslConnection(): envoy.SslConnection? -- The client's TLS; nil on a plain connection.
drainConnectionUponCompletion() -- Closes the connection after this response.`,
  ],
  filterState: [
    'envoy.FilterState',
    `get(name: string, field?: string): string|number|boolean|nil -- An object, or a field of it.
set(name: string, factory: string, value: string) -- Makes an object; the factory is envoy.string.`,
  ],
  connection: ['envoy.Connection', 'ssl(): envoy.SslConnection? -- The TLS of the connection; nil on a plain one.'],
  ssl: [
    'envoy.SslConnection',
    `peerCertificatePresented(): boolean -- Whether the client has shown a certificate.
peerCertificateValidated(): boolean -- Whether it comes from a CA of client_ca.
uriSanLocalCertificate(): string[] -- URIs of Weir's certificate.
uriSanPeerCertificate(): string[] -- URIs of the client's certificate.
dnsSansLocalCertificate(): string[] -- DNS names of Weir's certificate.
dnsSansPeerCertificate(): string[] -- DNS names of the client's certificate.
oidsLocalCertificate(): string[] -- The extensions of Weir's certificate.
oidsPeerCertificate(): string[] -- The extensions of the client's certificate.
sha256PeerCertificateDigest(): string -- Hexadecimal; empty without a certificate, as what follows.
serialNumberPeerCertificate(): string -- Hexadecimal.
issuerPeerCertificate(): string -- Its issuer, as in RFC 2253.
subjectPeerCertificate(): string -- Its subject, as in RFC 2253.
subjectLocalCertificate(): string -- The subject of Weir's certificate.
parsedSubjectPeerCertificate(): envoy.ParsedX509Name? -- The parts of its subject.
urlEncodedPemEncodedPeerCertificate(): string -- The certificate.
urlEncodedPemEncodedPeerCertificateChain(): string -- It, and those that it comes from.
validFromPeerCertificate(): integer -- Seconds since 1970.
expirationPeerCertificate(): integer -- Seconds since 1970.
sessionId(): string -- Hexadecimal.
ciphersuiteId(): string -- For instance 0x1301.
ciphersuiteString(): string -- For instance TLS_AES_128_GCM_SHA256.
tlsVersion(): string -- TLSv1.2 or TLSv1.3.`,
  ],
  parsedName: [
    'envoy.ParsedX509Name',
    `commonName(): string -- CN; empty when there is none.
organizationName(): string -- The first O; empty when there is none.`,
  ],
  connectionStreamInfo: [
    'envoy.ConnectionStreamInfo',
    `dynamicMetadata(): envoy.ConnectionDynamicMetadata -- Metadata of the connection.
dynamicTypedMetadata(filter: string): nil -- Nothing: there is none in Weir.`,
  ],
  route: ['envoy.Route', "metadata(): envoy.Metadata -- The route's metadata under the filter's name."],
  virtualHost: [
    'envoy.VirtualHost',
    "metadata(): envoy.Metadata -- The virtual host's metadata under the filter's name.",
  ],
  stats: [
    'envoy.Stats',
    `counter(name: string): envoy.Counter -- A number that only grows.
gauge(name: string): envoy.Gauge -- A number that goes up and down.
histogram(name: string, unit?: string): envoy.Histogram -- A distribution.`,
  ],
  counter: [
    'envoy.Counter',
    `inc() -- Adds 1.
add(amount: number) -- Adds.
value(): number -- In this worker.`,
  ],
  gauge: [
    'envoy.Gauge',
    `inc() -- Adds 1.
dec() -- Takes 1 away.
add(amount: number) -- Adds.
sub(amount: number) -- Takes away.
set(value: number) -- Sets.
value(): number -- In this worker.`,
  ],
  histogram: ['envoy.Histogram', 'recordValue(value: number) -- Adds an observation.'],
  publicKey: ['envoy.PublicKey', 'get(): string? -- The key in DER; nil when it could not be read.'],
};

/** Members of the global `weir`; dots lead into its tables. */
const LIBRARY = `sha256(text: string): string -- Hex.
hmac(hash: string, key: string, text: string): string -- Hex.
equal(a: string, b: string): boolean -- In a time that does not tell where they differ.
counter(name: string, by?: number) -- Adds to a metric.
timer(milliseconds: number, fn: fun()) -- Calls a function once.
jwt_verify(token: string, key: string|table, options?: table): table?, string? -- The claims; or nil and the reason.
shared.get(key: string): string?, integer? -- A value of all workers, and its version.
shared.set(key: string, value: string|number, ttl?: number) -- Sets it, for so many seconds.
shared.delete(key: string): boolean -- Whether there was one.
shared.incr(key: string, by?: number, ttl?: number): number -- Adds; the time to live counts from the first one.
shared.cas(key: string, version: integer, value: string|number, ttl?: number): boolean -- Sets it if its version is still that; 0: if there is none.
json.encode(value: any): string -- JSON of a value.
json.decode(text: string): any, string? -- The value; or nil and what is wrong.
base64.encode(text: string, alphabet?: "standard"|"url"): string -- Base64 of a text.
base64.decode(text: string, alphabet?: "standard"|"url"): string? -- The text; nil when it is none.`;

/** Functions that Weir calls. */
export const HOOKS = ['envoy_on_request', 'envoy_on_response', 'on_log'];

export const kindNames: readonly string[] = Object.keys(CLASSES);

export function classNameOf(kind: string): string {
  return CLASSES[kind]?.[0] ?? '';
}

/** The kind of a class name as it stands in a result, `envoy.Buffer?`. */
export function kindOfResult(returns: string): string | undefined {
  const first = returns.split(',')[0]?.replace('?', '').trim();
  return kindNames.find((kind) => classNameOf(kind) === first);
}

export function signaturesOf(kind: string): readonly Signature[] {
  return parse(`${CLASSES[kind]?.[1] ?? ''}\n${LOGS}`);
}

export function librarySignatures(): readonly Signature[] {
  return parse(LIBRARY);
}

function parse(text: string): Signature[] {
  return text.split('\n').map((line) => {
    const match = /^([\w.]+)\(((?:[^()]|\([^()]*\))*)\)(?:: (.+?))? -- (.+)$/.exec(line);
    if (match === null) throw new Error(`no signature: ${line}`);
    const [, name = '', parameters = '', returns = '', explanation = ''] = match;
    return { name, parameters: splitParameters(parameters), returns, text: explanation };
  });
}

/** At commas that are not within brackets. */
function splitParameters(text: string): string[] {
  return text === '' ? [] : text.split(/, (?![^<(]*[>)])/);
}
