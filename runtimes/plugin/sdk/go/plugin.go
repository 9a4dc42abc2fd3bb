// Package plugin is for plugins of the proxy Weir: programs that it starts and asks over gRPC.
//
//	type auth struct{ User string }
//
//	func (a *auth) OnRequestHeaders(s *plugin.Stream, h *plugin.Headers, end bool) plugin.Result {
//		if h.Get("user") != a.User {
//			return plugin.Reply{Status: 403, Body: []byte("forbidden\n")}
//		}
//		return nil
//	}
//
//	func main() {
//		plugin.Serve(plugin.Options{Filter: func(config json.RawMessage) (any, error) {
//			a := &auth{}
//			return a, json.Unmarshal(config, a)
//		}})
//	}
package plugin

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Result is what a hook says: nil (it goes on), Hold, a Reply, a Body, or an Error.
type Result interface{ result() }

type hold struct{}

func (hold) result() {}

// Hold keeps the part, and what follows it on its side, until a later hook of that side continues.
var Hold Result = hold{}

// Reply is an answer that Weir gives itself.
type Reply struct {
	Status  int
	Headers map[string]string
	Body    []byte
	// Details are for the access log.
	Details string
}

func (Reply) result() {}

// Body takes the place of the body that is held, or else of this piece.
type Body []byte

func (Body) result() {}

// Error is a failure, for which the entry's policy holds. A hook that panics is one, too.
type Error string

func (Error) result() {}

// A filter has some of these methods; Weir sends what it has a method for, and nothing else. One value serves all streams of an entry, at once.
type (
	RequestHeaders interface {
		OnRequestHeaders(stream *Stream, headers *Headers, endStream bool) Result
	}
	RequestBody interface {
		OnRequestBody(stream *Stream, data []byte, endStream bool) Result
	}
	RequestTrailers interface {
		OnRequestTrailers(stream *Stream, trailers *Headers) Result
	}
	ResponseHeaders interface {
		OnResponseHeaders(stream *Stream, headers *Headers, endStream bool) Result
	}
	ResponseBody interface {
		OnResponseBody(stream *Stream, data []byte, endStream bool) Result
	}
	ResponseTrailers interface {
		OnResponseTrailers(stream *Stream, trailers *Headers) Result
	}
	Complete interface {
		OnComplete(stream *Stream, status int)
	}
)

// Certificate is PEM: the certificate with those that lead to its CA, and the key; the CAs of clients, if they are to show certificates.
type Certificate struct{ Chain, Key, CA string }

// LogEntry is a stream that has ended.
type LogEntry struct {
	Info                     Info
	Status                   int
	BytesReceived, BytesSent uint64
	Duration                 time.Duration
	Flags                    string
	StartTime                time.Time
	Endpoint, Details        string
	RequestHeaders           *Headers
	ResponseHeaders          *Headers
	// Metadata is what filters left: JSON objects by namespace.
	Metadata map[string]json.RawMessage
}

// Endpoint is one of the cluster that a plugin balances.
type Endpoint struct {
	// Name is address:port.
	Name   string
	Weight uint32
	// Active are the requests that it serves now, of one worker; Chosen those that it was chosen for since the last call.
	Active, Chosen uint32
	Metadata       json.RawMessage
}

// Options says what the plugin serves.
type Options struct {
	// Filter makes the filter of an entry from its `config:`; an error refuses the configuration.
	Filter func(config json.RawMessage) (any, error)
	// Certificates gives the certificate for a name (empty for clients that ask for none), or nil.
	Certificates func(ctx context.Context, serverName, listener string, config json.RawMessage) (*Certificate, error)
	// AccessLog takes streams that have ended, several at a time.
	AccessLog func(ctx context.Context, entries []LogEntry, config json.RawMessage) error
	// LoadBalancer gives the share of each endpoint, every second.
	LoadBalancer func(ctx context.Context, endpoints []Endpoint, config json.RawMessage) ([]uint32, error)
}

// Info are facts of the stream that Weir sends along.
type Info struct {
	ID                       uint64
	Listener                 string
	Protocol                 string
	ClientAddress            string
	LocalAddress             string
	VirtualHost              string
	Route                    string
	Cluster                  string
	TLSVersion               string
	ServerName               string
	ClientCertificateSubject string
}

// Stream is one request and its response.
type Stream struct {
	// Context ends with the stream.
	Context context.Context
	Info    Info
	// RouteConfig holds the settings of the route for this filter; nil when there are none.
	RouteConfig json.RawMessage
	// Metadata is what filters before this one left: JSON objects by namespace.
	Metadata map[string]json.RawMessage
	// RequestHeaders and ResponseHeaders: changes count in the hook that gets them, and in body hooks while they are held.
	RequestHeaders, ResponseHeaders *Headers
	// RequestBody and ResponseBody hold the pieces that came while they were held, the one of the running hook included.
	RequestBody, ResponseBody []byte
	// State is for the filter's own use.
	State any

	left map[string]map[string]any
}

// SetMetadata leaves a value for other filters and the access log.
func (s *Stream) SetMetadata(namespace, key string, value any) {
	if s.left == nil {
		s.left = map[string]map[string]any{}
	}
	if s.left[namespace] == nil {
		s.left[namespace] = map[string]any{}
	}
	s.left[namespace][key] = value
}

type field struct{ name, value string }

// Headers are headers or trailers in their order, repeated ones kept. Names are in lower case.
type Headers struct{ fields []field }

// Get gives the values of that name, joined by a comma and a blank; "" when there is none.
func (h *Headers) Get(name string) string { return strings.Join(h.Values(name), ", ") }

// Values gives all values of that name.
func (h *Headers) Values(name string) []string {
	var values []string
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// Has tells whether there is a header of that name.
func (h *Headers) Has(name string) bool { return h.Values(name) != nil }

// Set puts one value in the place of all.
func (h *Headers) Set(name, value string) {
	h.Remove(name)
	h.Add(name, value)
}

// Add adds a value.
func (h *Headers) Add(name, value string) {
	h.fields = append(h.fields, field{strings.ToLower(name), value})
}

// Remove removes all values of that name.
func (h *Headers) Remove(name string) {
	kept := h.fields[:0:0]
	for _, f := range h.fields {
		if !strings.EqualFold(f.name, name) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// Each calls f for each header in order.
func (h *Headers) Each(f func(name, value string)) {
	for _, own := range h.fields {
		f(own.name, own.value)
	}
}
