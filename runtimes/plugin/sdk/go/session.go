package plugin

import (
	"encoding/json"
	"errors"
	"slices"

	"weir.dev/plugin/weirpb"
)

// One stream, as its events come.
type session struct {
	stream *Stream
	filter any
	// The headers of a side as Weir has them, while they are held.
	heldRequest, heldResponse groups
}

// The values of each name.
type groups map[string][]string

func (s *session) begin(filter any, start *weirpb.Start) {
	s.filter = filter
	stream := s.stream
	if start.RouteConfig != "" {
		stream.RouteConfig = json.RawMessage(start.RouteConfig)
	}
	stream.Metadata = metadataOf(start.Metadata)
	stream.Info = infoOf(start.Info)
}

func metadataOf(given map[string]string) map[string]json.RawMessage {
	metadata := map[string]json.RawMessage{}
	for namespace, text := range given {
		metadata[namespace] = json.RawMessage(text)
	}
	return metadata
}

func infoOf(info *weirpb.StreamInfo) Info {
	if info == nil {
		return Info{}
	}
	return Info{
		ID: info.Id, Listener: info.Listener, Protocol: info.Protocol, ClientAddress: info.ClientAddress, LocalAddress: info.LocalAddress,
		VirtualHost: info.VirtualHost, Route: info.Route, Cluster: info.Cluster, TLSVersion: info.TlsVersion, ServerName: info.ServerName,
		ClientCertificateSubject: info.ClientCertificateSubject,
	}
}

// A nil action: the event has no answer.
func (s *session) run(event *weirpb.Event) (*weirpb.Action, error) {
	stream := s.stream
	switch part := event.Part.(type) {
	case *weirpb.Event_RequestHeaders:
		headers, before := read(part.RequestHeaders)
		stream.RequestHeaders = headers
		return s.onHeaders(s.filter.(RequestHeaders).OnRequestHeaders(stream, headers, part.RequestHeaders.EndStream), before, headers, &s.heldRequest)
	case *weirpb.Event_ResponseHeaders:
		headers, before := read(part.ResponseHeaders)
		stream.ResponseHeaders = headers
		return s.onHeaders(s.filter.(ResponseHeaders).OnResponseHeaders(stream, headers, part.ResponseHeaders.EndStream), before, headers, &s.heldResponse)
	case *weirpb.Event_RequestBody:
		stream.RequestBody = append(stream.RequestBody, part.RequestBody.Data...)
		result := s.filter.(RequestBody).OnRequestBody(stream, part.RequestBody.Data, part.RequestBody.EndStream)
		return s.onBody(result, stream.RequestHeaders, &stream.RequestBody, &s.heldRequest)
	case *weirpb.Event_ResponseBody:
		stream.ResponseBody = append(stream.ResponseBody, part.ResponseBody.Data...)
		result := s.filter.(ResponseBody).OnResponseBody(stream, part.ResponseBody.Data, part.ResponseBody.EndStream)
		return s.onBody(result, stream.ResponseHeaders, &stream.ResponseBody, &s.heldResponse)
	case *weirpb.Event_RequestTrailers:
		trailers, before := read(part.RequestTrailers)
		result := s.filter.(RequestTrailers).OnRequestTrailers(stream, trailers)
		return s.action(result, edits(before, trailers))
	case *weirpb.Event_ResponseTrailers:
		trailers, before := read(part.ResponseTrailers)
		result := s.filter.(ResponseTrailers).OnResponseTrailers(stream, trailers)
		return s.action(result, edits(before, trailers))
	case *weirpb.Event_Complete:
		s.filter.(Complete).OnComplete(stream, int(part.Complete.Status))
	}
	return nil, nil
}

func (s *session) onHeaders(result Result, before groups, headers *Headers, held *groups) (*weirpb.Action, error) {
	*held = nil
	if result == Hold {
		*held = headers.groups()
	}
	return s.action(result, edits(before, headers))
}

func (s *session) onBody(result Result, headers *Headers, body *[]byte, held *groups) (*weirpb.Action, error) {
	var edited []*weirpb.Edit
	if *held != nil {
		edited = edits(*held, headers)
	}
	if result != Hold {
		*body, *held = nil, nil
	} else if *held != nil {
		*held = headers.groups()
	}
	return s.action(result, edited)
}

func (s *session) action(result Result, edited []*weirpb.Edit) (*weirpb.Action, error) {
	action := &weirpb.Action{Edits: edited}
	for namespace, values := range s.stream.left {
		text, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		if action.Metadata == nil {
			action.Metadata = map[string]string{}
		}
		action.Metadata[namespace] = string(text)
	}
	s.stream.left = nil
	switch result := result.(type) {
	case nil:
	case hold:
		action.What = &weirpb.Action_Hold{Hold: &weirpb.Hold{}}
	case Body:
		action.Body = result
		if action.Body == nil {
			action.Body = []byte{}
		}
	case Reply:
		reply := &weirpb.Reply{Status: uint32(result.Status), Body: result.Body, Details: result.Details}
		for name, value := range result.Headers {
			reply.Headers = append(reply.Headers, &weirpb.Header{Name: name, Value: []byte(value)})
		}
		action.What = &weirpb.Action_Reply{Reply: reply}
	case Error:
		return nil, errors.New(string(result))
	}
	return action, nil
}

func read(message *weirpb.Headers) (*Headers, groups) {
	headers := headersOf(message.Headers)
	return headers, headers.groups()
}

func headersOf(given []*weirpb.Header) *Headers {
	headers := &Headers{}
	for _, header := range given {
		headers.fields = append(headers.fields, field{header.Name, string(header.Value)})
	}
	return headers
}

func (h *Headers) groups() groups {
	values := groups{}
	for _, own := range h.fields {
		values[own.name] = append(values[own.name], own.value)
	}
	return values
}

// What turns the headers as they came into what they are now.
func edits(before groups, headers *Headers) []*weirpb.Edit {
	var list []*weirpb.Edit
	now := headers.groups()
	for name := range before {
		if now[name] == nil {
			list = append(list, &weirpb.Edit{Operation: weirpb.Edit_REMOVE, Name: name})
		}
	}
	seen := map[string]bool{}
	for _, own := range headers.fields {
		old, values := before[own.name], now[own.name]
		if seen[own.name] || slices.Equal(old, values) {
			continue
		}
		seen[own.name] = true
		kept := 0
		if len(old) > 0 && len(old) <= len(values) && slices.Equal(old, values[:len(old)]) {
			kept = len(old)
		}
		for i, value := range values[kept:] {
			operation := weirpb.Edit_ADD
			if kept+i == 0 {
				operation = weirpb.Edit_SET
			}
			list = append(list, &weirpb.Edit{Operation: operation, Name: own.name, Value: []byte(value)})
		}
	}
	return list
}
