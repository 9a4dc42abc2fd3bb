// A program written for MOSN, with the library that MOSN's own plugins are made of, and nothing of Weir. `-c FILE` names the headers that a
// request must have. With `-cert FILE -key FILE` it gives a certificate instead (MOSN's `loader`).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Request and Response as in MOSN's pkg/plugin/proto.
type Request struct {
	Header  map[string]string `protobuf:"bytes,1,rep,name=header,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"bytes,2,opt,name=value,proto3"`
	Trailer map[string]string `protobuf:"bytes,2,rep,name=trailer,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"bytes,2,opt,name=value,proto3"`
	Body    []byte            `protobuf:"bytes,3,opt,name=body,proto3"`
	Type    string            `protobuf:"bytes,4,opt,name=type,proto3"`
}

func (m *Request) Reset()         { *m = Request{} }
func (m *Request) String() string { return "request" }
func (*Request) ProtoMessage()    {}

type Response struct {
	Header  map[string]string `protobuf:"bytes,1,rep,name=header,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"bytes,2,opt,name=value,proto3"`
	Trailer map[string]string `protobuf:"bytes,2,rep,name=trailer,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"bytes,2,opt,name=value,proto3"`
	Body    []byte            `protobuf:"bytes,3,opt,name=body,proto3"`
	Status  int32             `protobuf:"varint,4,opt,name=status,proto3"`
}

func (m *Response) Reset()         { *m = Response{} }
func (m *Response) String() string { return "response" }
func (*Response) ProtoMessage()    {}

type service interface{ Call(*Request) (*Response, error) }

type checker struct{ wanted map[string]string }

func (c *checker) Call(request *Request) (*Response, error) {
	for name, value := range c.wanted {
		if request.Header[name] != value {
			return &Response{Status: -1}, nil
		}
	}
	return &Response{Status: 1}, nil
}

type loader struct{ certificate, key string }

func (l *loader) Call(*Request) (*Response, error) {
	body, err := json.Marshal(map[string]string{"cert_pem": l.certificate, "key_pem": l.key, "ca_pem": ""})
	return &Response{Body: body}, err
}

// What MOSN's pkg/plugin does around go-plugin.
type grpcPlugin struct {
	plugin.Plugin
	service service
}

func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "proto.Plugin",
		HandlerType: (*service)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Call",
			Handler: func(_ interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
				request := new(Request)
				if err := decode(request); err != nil {
					return nil, err
				}
				return p.service.Call(request)
			},
		}},
	}, p.service)
	return nil
}

func (*grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (interface{}, error) {
	return nil, nil
}

func watchParent() {
	parent := os.Getppid()
	for range time.Tick(5 * time.Second) {
		if now := os.Getppid(); now != parent || now == 1 {
			os.Exit(0)
		}
	}
}

func read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func main() {
	config := flag.String("c", "", "headers that a request must have, as JSON")
	certificate := flag.String("cert", "", "a certificate to give out")
	key := flag.String("key", "", "its key")
	flag.Parse()
	var served service
	if *certificate != "" {
		served = &loader{read(*certificate), read(*key)}
	} else {
		wanted := map[string]string{}
		if err := json.Unmarshal([]byte(read(*config)), &wanted); err != nil {
			panic(err)
		}
		served = &checker{wanted}
	}
	go watchParent()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "MOSN_PLUGIN", MagicCookieValue: "ON"},
		Plugins:         map[string]plugin.Plugin{"MOSN_SERVICE": &grpcPlugin{service: served}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}
