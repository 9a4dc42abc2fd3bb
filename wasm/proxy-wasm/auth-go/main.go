// Lets requests pass that have the header `user: admin`; others get 403. Plain Go: the ABI's functions are imported by hand.
package main

import "unsafe"

//go:wasmimport env proxy_get_header_map_value
func getHeader(kind uint32, key unsafe.Pointer, keySize uint32, value, size unsafe.Pointer) uint32

//go:wasmimport env proxy_send_local_response
func sendLocalResponse(code uint32, details unsafe.Pointer, detailsSize uint32, body unsafe.Pointer, bodySize uint32, headers unsafe.Pointer, headersSize uint32, grpc int32) uint32

const requestHeaders = 0

// The one buffer that the host writes values into: each is read before the next is asked for.
var scratch = make([]byte, 64*1024)

func main() {}

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) uintptr {
	if int(size) > len(scratch) {
		scratch = make([]byte, size)
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(scratch)))
}

func header(name string) string {
	var address uintptr
	var size uint32
	status := getHeader(requestHeaders, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(&address), unsafe.Pointer(&size))
	if status != 0 {
		return ""
	}
	return string(scratch[:size])
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(id, count, end uint32) uint32 {
	if header("user") == "admin" {
		return 0
	}
	body := "forbidden\n"
	sendLocalResponse(403, nil, 0, unsafe.Pointer(unsafe.StringData(body)), uint32(len(body)), nil, 0, -1)
	return 1
}
