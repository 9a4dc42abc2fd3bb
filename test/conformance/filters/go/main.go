// The canonical conformance filters for Proxy-Wasm in Go, without any library; `config: { case: NAME }` chooses one.
package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unsafe"
)

//go:wasmimport env proxy_get_buffer_bytes
func getBufferBytes(kind, start, max uint32, data, size unsafe.Pointer) uint32

//go:wasmimport env proxy_set_buffer_bytes
func setBufferBytes(kind, start, size uint32, data unsafe.Pointer, length uint32) uint32

//go:wasmimport env proxy_get_header_map_value
func getHeader(kind uint32, key unsafe.Pointer, keySize uint32, value, size unsafe.Pointer) uint32

//go:wasmimport env proxy_add_header_map_value
func addHeader(kind uint32, key unsafe.Pointer, keySize uint32, value unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_replace_header_map_value
func replaceHeader(kind uint32, key unsafe.Pointer, keySize uint32, value unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_send_local_response
func sendLocalResponse(code uint32, details unsafe.Pointer, detailsSize uint32, body unsafe.Pointer, bodySize uint32, headers unsafe.Pointer, headersSize uint32, grpc int32) uint32

//go:wasmimport env proxy_http_call
func httpCall(upstream unsafe.Pointer, upstreamSize uint32, headers unsafe.Pointer, headersSize uint32, body unsafe.Pointer, bodySize uint32, trailers unsafe.Pointer, trailersSize uint32, timeout uint32, id unsafe.Pointer) uint32

//go:wasmimport env proxy_set_effective_context
func setEffectiveContext(id uint32) uint32

//go:wasmimport env proxy_continue_stream
func continueStream(kind uint32) uint32

var chosen string

// What the host was given, so that it is not collected before it is taken.
var given = map[uintptr][]byte{}

// Streams by the call that they wait for.
var waiting = map[uint32]uint32{}

func main() {}

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) uintptr {
	memory := make([]byte, size)
	address := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	given[address] = memory
	return address
}

// What the host has put into allocated memory.
func take(address uintptr, size uint32) []byte {
	memory := given[address]
	delete(given, address)
	if memory == nil {
		return nil
	}
	return memory[:size]
}

func pointer(data []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data))
}

func buffer(kind, size uint32) []byte {
	var address uintptr
	var length uint32
	if getBufferBytes(kind, 0, size, unsafe.Pointer(&address), unsafe.Pointer(&length)) != 0 {
		return nil
	}
	return take(address, length)
}

func header(kind uint32, name string) string {
	var address uintptr
	var length uint32
	key, keySize := pointer([]byte(name))
	if getHeader(kind, key, keySize, unsafe.Pointer(&address), unsafe.Pointer(&length)) != 0 {
		return ""
	}
	return string(take(address, length))
}

func add(kind uint32, name, value string) {
	key, keySize := pointer([]byte(name))
	data, size := pointer([]byte(value))
	addHeader(kind, key, keySize, data, size)
}

func pairs(fields ...string) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(fields)/2))
	for _, field := range fields {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(field)))
	}
	for _, field := range fields {
		out = append(append(out, field...), 0)
	}
	return out
}

//go:wasmexport proxy_on_configure
func onConfigure(id, size uint32) uint32 {
	config := string(buffer(7, size))
	for _, name := range []string{"add-header", "local-reply", "pause-resume", "rewrite-body", "trailers", "throw", "run-away"} {
		if strings.Contains(config, `"case":"`+name+`"`) {
			chosen = name
			return 1
		}
	}
	return 0
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(id, count, end uint32) uint32 {
	switch chosen {
	case "add-header":
		add(0, "x-request-mark", "seen")
	case "local-reply":
		if header(0, "user") != "admin" {
			body, bodySize := pointer([]byte("denied"))
			headers, headersSize := pointer(pairs("x-reason", "not admin"))
			sendLocalResponse(403, nil, 0, body, bodySize, headers, headersSize, -1)
			return 1
		}
	case "pause-resume":
		var call uint32
		upstream, upstreamSize := pointer([]byte("aux"))
		headers, headersSize := pointer(pairs(":method", "GET", ":path", "/check", ":authority", "aux"))
		httpCall(upstream, upstreamSize, headers, headersSize, nil, 0, nil, 0, 5000, unsafe.Pointer(&call))
		waiting[call] = id
		return 1
	case "throw":
		panic("thrown on purpose")
	case "run-away":
		for {
		}
	}
	return 0
}

//go:wasmexport proxy_on_http_call_response
func onHTTPCallResponse(root, call, headers, body, trailers uint32) {
	status := header(6, ":status")
	setEffectiveContext(waiting[call])
	delete(waiting, call)
	key, keySize := pointer([]byte("x-checked"))
	value, size := pointer([]byte(status))
	replaceHeader(0, key, keySize, value, size)
	continueStream(0)
}

func uppercase(kind, size uint32) {
	data, length := pointer(bytes.ToUpper(buffer(kind, size)))
	setBufferBytes(kind, 0, size, data, length)
}

//go:wasmexport proxy_on_request_body
func onRequestBody(id, size, end uint32) uint32 {
	if chosen != "rewrite-body" {
		return 0
	}
	if end == 0 {
		return 1
	}
	uppercase(0, size)
	return 0
}

//go:wasmexport proxy_on_request_trailers
func onRequestTrailers(id, count uint32) uint32 {
	if chosen == "trailers" {
		add(1, "x-request-mark", "seen")
	}
	return 0
}

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(id, count, end uint32) uint32 {
	if chosen == "add-header" || chosen == "local-reply" {
		add(2, "x-response-mark", "seen")
	}
	return 0
}

//go:wasmexport proxy_on_response_body
func onResponseBody(id, size, end uint32) uint32 {
	if chosen == "rewrite-body" {
		uppercase(1, size)
	}
	return 0
}

//go:wasmexport proxy_on_response_trailers
func onResponseTrailers(id, count uint32) uint32 {
	if chosen == "trailers" {
		add(3, "x-response-mark", "seen")
	}
	return 0
}
