package plugin

import (
	"fmt"
	"strings"
	"testing"

	"weir.dev/plugin/weirpb"
)

func event(headers ...string) *weirpb.Event {
	message := &weirpb.Headers{}
	for i := 0; i < len(headers); i += 2 {
		message.Headers = append(message.Headers, &weirpb.Header{Name: headers[i], Value: []byte(headers[i+1])})
	}
	return &weirpb.Event{Part: &weirpb.Event_RequestHeaders{RequestHeaders: message}}
}

type hook func(*Stream, *Headers) Result

func (h hook) OnRequestHeaders(s *Stream, headers *Headers, _ bool) Result { return h(s, headers) }

func (h hook) OnRequestBody(s *Stream, _ []byte, end bool) Result {
	if !end {
		return Hold
	}
	s.RequestHeaders.Set("x-length", fmt.Sprint(len(s.RequestBody)))
	return Body(strings.ToUpper(string(s.RequestBody)))
}

func run(t *testing.T, filter any, events ...*weirpb.Event) *weirpb.Action {
	t.Helper()
	s := &session{stream: &Stream{}}
	s.begin(filter, &weirpb.Start{})
	var last *weirpb.Action
	for _, one := range events {
		action, err := s.run(one)
		if err != nil {
			t.Fatal(err)
		}
		last = action
	}
	return last
}

func text(edits []*weirpb.Edit) string {
	var list []string
	for _, edit := range edits {
		list = append(list, fmt.Sprintf("%s %s=%s", edit.Operation, edit.Name, edit.Value))
	}
	return strings.Join(list, ", ")
}

func TestEditsSayWhatChanged(t *testing.T) {
	cases := []struct {
		change hook
		wanted string
	}{
		{func(*Stream, *Headers) Result { return nil }, ""},
		{func(_ *Stream, h *Headers) Result { h.Set("A", "2"); return nil }, "SET a=2"},
		{func(_ *Stream, h *Headers) Result { h.Add("a", "2"); return nil }, "ADD a=2"},
		{func(_ *Stream, h *Headers) Result { h.Remove("a"); return nil }, "REMOVE a="},
		{func(_ *Stream, h *Headers) Result { h.Add("new", "1"); h.Add("new", "2"); return nil }, "SET new=1, ADD new=2"},
		{func(_ *Stream, h *Headers) Result { h.Set("a", "1"); return nil }, ""},
	}
	for _, one := range cases {
		if got := text(run(t, one.change, event("a", "1", "b", "1")).Edits); got != one.wanted {
			t.Errorf("got %q, want %q", got, one.wanted)
		}
	}
}

func TestHeldHeadersMayBeEditedWithTheBody(t *testing.T) {
	body := func(data string, end bool) *weirpb.Event {
		return &weirpb.Event{Part: &weirpb.Event_RequestBody{RequestBody: &weirpb.Body{Data: []byte(data), EndStream: end}}}
	}
	filter := hook(func(*Stream, *Headers) Result { return Hold })
	action := run(t, filter, event("a", "1"), body("he", false), body("llo", true))
	if string(action.Body) != "HELLO" || text(action.Edits) != "SET x-length=5" {
		t.Errorf("got %q and %q", action.Body, text(action.Edits))
	}
}

func TestRepliesAndMetadata(t *testing.T) {
	action := run(t, hook(func(s *Stream, _ *Headers) Result {
		s.SetMetadata("ns", "key", map[string]int{"n": 1})
		return Reply{Status: 403, Headers: map[string]string{"x": "y"}, Body: []byte("no")}
	}), event())
	reply := action.GetReply()
	if reply.GetStatus() != 403 || string(reply.Body) != "no" || string(reply.Headers[0].Value) != "y" {
		t.Errorf("got %v", reply)
	}
	if action.Metadata["ns"] != `{"key":{"n":1}}` {
		t.Errorf("got %v", action.Metadata)
	}
}

func TestAnErrorIsAFailure(t *testing.T) {
	s := &session{stream: &Stream{}}
	s.begin(hook(func(*Stream, *Headers) Result { return Error("broken") }), &weirpb.Start{})
	if _, err := s.run(event()); err == nil || err.Error() != "broken" {
		t.Errorf("got %v", err)
	}
}
