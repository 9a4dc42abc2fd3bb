// The canonical conformance filters with the SDK for Go; `config: { case: NAME }` chooses one.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"weir.dev/plugin"
)

type addHeader struct{}

func (addHeader) OnRequestHeaders(_ *plugin.Stream, h *plugin.Headers, _ bool) plugin.Result {
	h.Add("x-request-mark", "seen")
	return nil
}

func (addHeader) OnResponseHeaders(_ *plugin.Stream, h *plugin.Headers, _ bool) plugin.Result {
	h.Add("x-response-mark", "seen")
	return nil
}

type localReply struct{}

func (localReply) OnRequestHeaders(_ *plugin.Stream, h *plugin.Headers, _ bool) plugin.Result {
	if h.Get("user") != "admin" {
		return plugin.Reply{Status: 403, Headers: map[string]string{"x-reason": "not admin"}, Body: []byte("denied")}
	}
	return nil
}

func (localReply) OnResponseHeaders(_ *plugin.Stream, h *plugin.Headers, _ bool) plugin.Result {
	h.Add("x-response-mark", "seen")
	return nil
}

type rewriteBody struct{}

func holdUnless(end bool) plugin.Result {
	if end {
		return nil
	}
	return plugin.Hold
}

func upper(body []byte, end bool) plugin.Result {
	if !end {
		return plugin.Hold
	}
	return plugin.Body(bytes.ToUpper(body))
}

func (rewriteBody) OnRequestHeaders(_ *plugin.Stream, _ *plugin.Headers, end bool) plugin.Result {
	return holdUnless(end)
}

func (rewriteBody) OnRequestBody(s *plugin.Stream, _ []byte, end bool) plugin.Result {
	return upper(s.RequestBody, end)
}

func (rewriteBody) OnRequestTrailers(s *plugin.Stream, _ *plugin.Headers) plugin.Result {
	return upper(s.RequestBody, true)
}

func (rewriteBody) OnResponseHeaders(_ *plugin.Stream, _ *plugin.Headers, end bool) plugin.Result {
	return holdUnless(end)
}

func (rewriteBody) OnResponseBody(s *plugin.Stream, _ []byte, end bool) plugin.Result {
	return upper(s.ResponseBody, end)
}

func (rewriteBody) OnResponseTrailers(s *plugin.Stream, _ *plugin.Headers) plugin.Result {
	return upper(s.ResponseBody, true)
}

type trailers struct{}

func (trailers) OnRequestTrailers(_ *plugin.Stream, h *plugin.Headers) plugin.Result {
	h.Add("x-request-mark", "seen")
	return nil
}

func (trailers) OnResponseTrailers(_ *plugin.Stream, h *plugin.Headers) plugin.Result {
	h.Add("x-response-mark", "seen")
	return nil
}

type routeConfig struct{}

func (routeConfig) OnResponseHeaders(s *plugin.Stream, h *plugin.Headers, _ bool) plugin.Result {
	settings := struct{ Greeting string }{"none"}
	if s.RouteConfig != nil {
		if err := json.Unmarshal(s.RouteConfig, &settings); err != nil {
			return plugin.Error(err.Error())
		}
	}
	h.Set("x-greeting", settings.Greeting)
	return nil
}

type throw struct{}

func (throw) OnRequestHeaders(*plugin.Stream, *plugin.Headers, bool) plugin.Result {
	panic("thrown on purpose")
}

var cases = map[string]any{
	"add-header": addHeader{}, "local-reply": localReply{}, "rewrite-body": rewriteBody{}, "trailers": trailers{}, "route-config": routeConfig{},
	"throw": throw{},
}

// All requests go to the endpoint with the metadata `chosen`.
func balance(_ context.Context, endpoints []plugin.Endpoint, _ json.RawMessage) ([]uint32, error) {
	weights := make([]uint32, len(endpoints))
	for i, endpoint := range endpoints {
		metadata := struct{ Chosen bool }{}
		if err := json.Unmarshal(endpoint.Metadata, &metadata); err != nil {
			return nil, err
		}
		if metadata.Chosen {
			weights[i] = 7
		}
	}
	return weights, nil
}

// Writes to `config: { file }`.
func log(_ context.Context, entries []plugin.LogEntry, text json.RawMessage) error {
	config := struct{ File string }{}
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	file, err := os.OpenFile(config.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, entry := range entries {
		fmt.Fprintf(file, "%d %s %s\n", entry.Status, entry.RequestHeaders.Get(":path"), entry.Info.Listener)
	}
	return nil
}

func main() {
	plugin.Serve(plugin.Options{Filter: func(text json.RawMessage) (any, error) {
		config := struct{ Case string }{}
		if err := json.Unmarshal(text, &config); err != nil {
			return nil, err
		}
		filter, known := cases[config.Case]
		if !known {
			return nil, fmt.Errorf("unknown case %s", config.Case)
		}
		return filter, nil
	}, AccessLog: log, LoadBalancer: balance})
}
