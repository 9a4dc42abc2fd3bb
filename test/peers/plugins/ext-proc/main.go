// An external processor on Envoy's public Go protos. It knows nothing of Weir but that a plugin prints where it listens; with `-listen ADDRESS` it runs by
// itself, for Envoy. The request header x-case chooses what it does.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"os"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	types "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

type server struct {
	proc.UnimplementedExternalProcessorServer
}

func get(headers *core.HeaderMap, name string) string {
	for _, header := range headers.GetHeaders() {
		if header.Key == name {
			return header.Value + string(header.RawValue)
		}
	}
	return ""
}

func option(name, value string, action core.HeaderValueOption_HeaderAppendAction) *core.HeaderValueOption {
	return &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, RawValue: []byte(value)}, AppendAction: action}
}

func set(name, value string) *proc.HeaderMutation {
	return &proc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{option(name, value, core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)}}
}

func headersOf(mutation *proc.HeaderMutation) *proc.HeadersResponse {
	return &proc.HeadersResponse{Response: &proc.CommonResponse{HeaderMutation: mutation}}
}

func bodyOf(body []byte, mutation *proc.HeaderMutation) *proc.BodyResponse {
	return &proc.BodyResponse{Response: &proc.CommonResponse{
		HeaderMutation: mutation,
		BodyMutation:   &proc.BodyMutation{Mutation: &proc.BodyMutation_Body{Body: body}},
	}}
}

func (server) Process(stream proc.ExternalProcessor_ProcessServer) error {
	name := ""
	chunks := 0
	for {
		request, err := stream.Recv()
		if err == io.EOF || status.Code(err) == codes.Canceled {
			return nil
		}
		if err != nil {
			return err
		}
		response := &proc.ProcessingResponse{}
		switch part := request.Request.(type) {
		case *proc.ProcessingRequest_RequestHeaders:
			headers := part.RequestHeaders.Headers
			name = get(headers, "x-case")
			result := headersOf(nil)
			switch name {
			case "edit-headers":
				result = headersOf(&proc.HeaderMutation{
					SetHeaders: []*core.HeaderValueOption{
						option("x-append", "two", core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD),
						option("x-absent", "two", core.HeaderValueOption_ADD_IF_ABSENT),
						option("x-overwrite", "two", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
						option("x-only-existing", "two", core.HeaderValueOption_OVERWRITE_IF_EXISTS),
						option("x-new", "value", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
						{Header: &core.HeaderValue{Key: "x-plain", Value: "text"}},
					},
					RemoveHeaders: []string{"x-remove", "x-not-there"},
				})
			case "protected-headers":
				result = headersOf(&proc.HeaderMutation{
					SetHeaders: []*core.HeaderValueOption{
						option(":path", "/changed", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
						option(":method", "PUT", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
						option(":authority", "other.test", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
						option("host", "other.test", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
						option("x-envoy-own", "1", core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
					},
					RemoveHeaders: []string{":scheme", "host"},
				})
			case "immediate":
				response.Response = &proc.ProcessingResponse_ImmediateResponse{ImmediateResponse: &proc.ImmediateResponse{
					Status:  &types.HttpStatus{Code: types.StatusCode_Forbidden},
					Headers: set("x-reason", "denied"),
					Body:    []byte("denied by a processor"),
					Details: "because",
				}}
			case "immediate-default":
				response.Response = &proc.ProcessingResponse_ImmediateResponse{ImmediateResponse: &proc.ImmediateResponse{}}
			case "error":
				return status.Error(codes.Internal, "broken")
			case "close":
				return nil
			case "wrong-answer":
				response.Response = &proc.ProcessingResponse_ResponseHeaders{ResponseHeaders: headersOf(nil)}
			case "replace":
				result = headersOf(set("x-replaced", "yes"))
				result.Response.Status = proc.CommonResponse_CONTINUE_AND_REPLACE
				result.Response.BodyMutation = &proc.BodyMutation{Mutation: &proc.BodyMutation_Body{Body: []byte("a whole new body")}}
			case "count-headers":
				result = headersOf(set("x-seen", strings.Join(names(headers), " ")))
			}
			if response.Response == nil {
				response.Response = &proc.ProcessingResponse_RequestHeaders{RequestHeaders: result}
			}
		case *proc.ProcessingRequest_RequestBody:
			chunks++
			result := &proc.BodyResponse{}
			switch name {
			case "upper":
				result = bodyOf([]byte(strings.ToUpper(string(part.RequestBody.Body))), nil)
			case "body-and-header":
				result = bodyOf([]byte("["+string(part.RequestBody.Body)+"]"), set("x-length", fmt.Sprint(len(part.RequestBody.Body))))
			case "clear":
				result.Response = &proc.CommonResponse{BodyMutation: &proc.BodyMutation{Mutation: &proc.BodyMutation_ClearBody{ClearBody: true}}}
			case "immediate-on-body":
				response.Response = &proc.ProcessingResponse_ImmediateResponse{ImmediateResponse: &proc.ImmediateResponse{
					Status: &types.HttpStatus{Code: types.StatusCode_PayloadTooLarge}, Body: []byte("too long"),
				}}
			}
			if response.Response == nil {
				response.Response = &proc.ProcessingResponse_RequestBody{RequestBody: result}
			}
		case *proc.ProcessingRequest_RequestTrailers:
			response.Response = &proc.ProcessingResponse_RequestTrailers{RequestTrailers: &proc.TrailersResponse{HeaderMutation: set("x-trailer", "seen")}}
		case *proc.ProcessingRequest_ResponseHeaders:
			result := headersOf(set("x-processed", "yes"))
			switch name {
			case "status":
				result = headersOf(set(":status", "418"))
			case "immediate-on-response":
				response.Response = &proc.ProcessingResponse_ImmediateResponse{ImmediateResponse: &proc.ImmediateResponse{
					Status: &types.HttpStatus{Code: types.StatusCode_BadGateway}, Body: []byte("not this one"),
				}}
			case "replace-response":
				result.Response.Status = proc.CommonResponse_CONTINUE_AND_REPLACE
				result.Response.BodyMutation = &proc.BodyMutation{Mutation: &proc.BodyMutation_Body{Body: []byte("another answer")}}
			}
			if response.Response == nil {
				response.Response = &proc.ProcessingResponse_ResponseHeaders{ResponseHeaders: result}
			}
		case *proc.ProcessingRequest_ResponseBody:
			result := &proc.BodyResponse{}
			if name == "upper" {
				result = bodyOf([]byte(strings.ToUpper(string(part.ResponseBody.Body))), nil)
			} else if name == "body-and-header" {
				result = bodyOf([]byte("["+string(part.ResponseBody.Body)+"]"), set("x-length", fmt.Sprint(len(part.ResponseBody.Body))))
			}
			response.Response = &proc.ProcessingResponse_ResponseBody{ResponseBody: result}
		case *proc.ProcessingRequest_ResponseTrailers:
			response.Response = &proc.ProcessingResponse_ResponseTrailers{ResponseTrailers: &proc.TrailersResponse{HeaderMutation: set("x-trailer", "seen")}}
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func names(headers *core.HeaderMap) []string {
	var list []string
	for _, header := range headers.Headers {
		if !strings.HasPrefix(header.Key, "x-envoy-") && !strings.HasPrefix(header.Key, "x-request-id") && !strings.HasPrefix(header.Key, "x-forwarded-") {
			list = append(list, header.Key)
		}
	}
	return list
}

func main() {
	address := flag.String("listen", "", "address to listen on; a socket of its own when it is a plugin")
	flag.Parse()
	network := "tcp"
	if *address == "" {
		network, *address = "unix", os.TempDir()+"/processor"
	}
	listener, err := net.Listen(network, *address)
	if err != nil {
		log.Fatal(err)
	}
	processor := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32))
	proc.RegisterExternalProcessorServer(processor, server{})
	checks := health.NewServer()
	checks.SetServingStatus("plugin", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(processor, checks)
	fmt.Printf("1|1|%s|%s|grpc\n", network, listener.Addr())
	log.Fatal(processor.Serve(listener))
}
